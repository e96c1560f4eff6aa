"""House rules as tests: each opens with the pain it prevents. A listed exception may shrink, never grow."""
