"""Bad requests that only a socket can carry: wrong lengths, half bodies, chunks that lie, two requests in one.

Each connection is sent to its end and read until the API closes it or has nothing to say. What the signals count as
received is accepted or rejected, and a request hidden in another's body is never read as one.
"""

from __future__ import annotations

import json
import random
import re
import socket
from contextlib import suppress

import pytest

from tests.attacks.harm import expecting_no_harm
from tests.attacks.stack import EVENT, WRITE_KEY, Stack, wait_until
from tests.simulation.malformed_requests import make_request

BODY = json.dumps(EVENT).encode()
HIDDEN = b"POST /v1/track HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %b\r\nContent-Length: %d\r\n\r\n%b" % (
    WRITE_KEY.encode(), len(BODY), BODY,
)  # fmt: skip
STATUS = re.compile(rb"HTTP/1\.1 (\d{3})")
GENERATED = 300
END_SECONDS_MAX = 30.0


def make_head(*headers: bytes, path: bytes = b"/v1/track") -> bytes:
    lines = (b"POST %b HTTP/1.1" % path, b"Host: a", b"Authorization: Bearer %b" % WRITE_KEY.encode(), *headers)
    return b"\r\n".join(lines) + b"\r\n\r\n"


# What is sent, and the statuses that may come back. A connection may be closed without one.
SMUGGLED: dict[str, tuple[bytes, set[bytes]]] = {
    "longer than its length": (make_head(b"Content-Length: 5") + BODY, {b"400"}),
    "two lengths": (make_head(b"Content-Length: 5", b"Content-Length: %d" % len(BODY)) + BODY, {b"400"}),
    "a length and chunks": (
        make_head(b"Content-Length: 4", b"Transfer-Encoding: chunked") + b"0\r\n\r\n" + HIDDEN, {b"400"},
    ),
    "chunked twice": (make_head(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked") + b"0\r\n\r\n", {b"400"}),
    "an encoding that hides chunks": (make_head(b"Transfer-Encoding: xchunked") + b"0\r\n\r\n" + HIDDEN, {b"400"}),
    "a blank before the colon": (make_head(b"Transfer-Encoding : chunked") + b"0\r\n\r\n", {b"400"}),
    "a chunk that is no number": (make_head(b"Transfer-Encoding: chunked") + b"zz\r\n" + BODY, {b"400"}),
    "a chunk of a gigabyte": (make_head(b"Transfer-Encoding: chunked") + b"40000000\r\n" + BODY, {b"400", b"408"}),
    "a negative length": (make_head(b"Content-Length: -1") + BODY, {b"400"}),
    "a length with a sign": (make_head(b"Content-Length: +5") + BODY, {b"400"}),
    "a length of 30 digits": (make_head(b"Content-Length: " + b"9" * 30) + BODY, {b"400"}),
    "a folded header": (make_head(b"X-A: b\r\n Content-Length: 5") + BODY, {b"400"}),
    "a NUL in a header": (make_head(b"X-A: a\x00b", b"Content-Length: %d" % len(BODY)) + BODY, {b"400"}),
    "no request at all": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20 + b"\r\n\r\n", {b"400"}),
}  # fmt: skip


def exchange(stack: Stack, sent: bytes) -> list[bytes]:
    """Send it, end our side, and return the statuses that come back."""
    with stack.connect() as connection:
        with suppress(OSError):
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
        received = b""
        with suppress(OSError):
            while part := connection.recv(65_536):
                received += part
    return STATUS.findall(received)


def read_signal(stack: Stack, name: str) -> float:
    lines = [line for line in stack.read_signals().splitlines() if line.startswith(f"rta_collect_{name}_total")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def account(stack: Stack) -> tuple[float, float]:
    """How many events were received, and how many of them have an end."""
    ends = sum(read_signal(stack, name) for name in ("accepted", "rejected", "unknown"))
    return read_signal(stack, "received"), ends


@pytest.mark.parametrize("name", SMUGGLED)
def test_a_request_with_two_readings_is_refused_and_hides_no_other(stack: Stack, name: str) -> None:
    sent, allowed = SMUGGLED[name]
    accepted = read_signal(stack, "accepted")
    statuses = exchange(stack, sent)
    assert set(statuses) <= allowed, statuses
    assert len(statuses) <= 2  # what follows a bad request may be refused as well, and is never taken
    assert read_signal(stack, "accepted") == accepted


def test_bad_requests_through_a_socket_are_no_errors_of_ours(stack: Stack) -> None:
    chance = random.Random(7)
    with expecting_no_harm(stack):
        for number in range(GENERATED):
            bad = make_request(chance)
            headers = [f"{name}: {value}".encode("latin-1") for name, value in bad.headers.items()]
            if not {"content-length", "transfer-encoding"} & bad.headers.keys():
                wrong = chance.choice((0, 0, 0, -1, 7)) if number % 3 == 0 else 0
                headers.append(b"Content-Length: %d" % max(0, len(bad.body) + wrong))
            statuses = exchange(stack, make_head(*headers, path=bad.path.encode()) + bad.body)
            assert not [status for status in statuses if status[:1] == b"5" and status != b"503"], (bad, statuses)
    # A client that has hung up gets no answer, so the last events may still be under way to Kafka.
    wait_until(lambda: len(set(account(stack))) == 1, "every event that was received has an end", END_SECONDS_MAX)
