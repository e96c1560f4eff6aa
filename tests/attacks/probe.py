"""Ask GET /health/live again and again, each time on a fresh connection, until standard input ends.

A process of its own: an attack that keeps the test's interpreter busy must not look like an API that stands still.
Run by `harm.LiveProbe`; prints what it saw as one line of JSON.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time

INTERVAL_SECONDS = 0.03
WAIT_SECONDS_MAX = 30.0
REQUEST = b"GET /health/live HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n"


def probe(port: int) -> bool:
    """Whether the answer was 200."""
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECONDS_MAX) as connection:
        connection.sendall(REQUEST)
        return connection.recv(64).startswith(b"HTTP/1.1 200")


def main(port: int) -> None:
    longest, count, failures = 0.0, 0, []
    print("probing", flush=True)
    while True:
        begin = time.monotonic()
        try:
            if not probe(port):
                failures.append("no 200")
        except OSError as error:
            failures.append(repr(error))
        longest, count = max(longest, time.monotonic() - begin), count + 1
        if select.select([sys.stdin], [], [], INTERVAL_SECONDS)[0]:
            break
    print(json.dumps({"longest_seconds": longest, "count": count, "failures": failures[:5]}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
