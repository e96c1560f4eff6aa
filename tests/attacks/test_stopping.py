"""A stop while clients are slow: everybody gets an answer or a closed connection, and nothing of ours is shown."""

from __future__ import annotations

import time

from tests.attacks.stack import ADMIN_KEY, READ_KEY, Stack

STOP_SECONDS_MAX = 10.0


def test_a_stop_answers_what_is_under_way(stack: Stack) -> None:
    """D6: an import had got a bare 500, and the log three tracebacks."""
    with stack.running_another_api() as api:
        importing, streaming, slow = api.connect(), api.connect(), api.connect()
        head = f"POST /v1/products/import HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {ADMIN_KEY}\r\n"
        importing.sendall(f"{head}Content-Type: application/x-ndjson\r\nContent-Length: 10000000\r\n\r\n".encode())
        rows = b"".join(b'{"id": "p-%d", "name": "n"}\n' % number for number in range(3_000))
        importing.sendall(rows)
        streaming.sendall(
            f"GET /v1/live?metrics=events HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {READ_KEY}\r\n\r\n".encode()
        )
        assert streaming.recv(100).startswith(b"HTTP/1.1 200")
        slow.sendall(b"POST /v1/track HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
        time.sleep(0.5)
        begin = time.monotonic()
        api.process.terminate()
        for connection in (importing, slow):
            assert connection.recv(20)[:12] in (b"HTTP/1.1 503", b"")
        assert api.process.wait(STOP_SECONDS_MAX) == 0
        assert time.monotonic() - begin < STOP_SECONDS_MAX
        for connection in (importing, streaming, slow):
            connection.close()
        assert "Traceback" not in api.log.read_text()
