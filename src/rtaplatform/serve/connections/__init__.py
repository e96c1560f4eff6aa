"""What the HTTP server lacks: who may connect, how slow a client may be, how much of it is held, what is no HTTP."""
