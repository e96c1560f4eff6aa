"""Bodies that come slowly, or too many at once."""

from __future__ import annotations

import gzip
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from tests.attacks.harm import expecting_no_harm
from tests.attacks.stack import EVENT, WRITE_KEY, Stack, wait_until

BODY_SECONDS_MAX = 25  # GRACE_SECONDS, and what has come


def make_events(events: int, **fields: object) -> list[dict[str, object]]:
    """Each event is another person's, so that the limit of a person is not what refuses."""
    return [{**EVENT, "anonymousId": f"slow-{number}", **fields} for number in range(events)]


def begin_body(stack: Stack, length: int, sent: int, *, path: str = "/v1/batch") -> socket.socket:
    """A request whose body is not sent to its end."""
    connection = stack.connect()
    connection.sendall(f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n".encode())
    connection.setblocking(False)
    with suppress(BlockingIOError):
        connection.send(b"x" * sent)
    return connection


def test_bodies_that_are_not_finished_are_given_up(stack: Stack) -> None:
    """C2c: 60 connections of 4 MB less a byte had taken 270 MB, for as long as they liked."""
    size = 4 << 20
    with expecting_no_harm(stack):
        connections = [begin_body(stack, size, size - 1) for _ in range(60)]
        connections += [begin_body(stack, size, 10) for _ in range(300)]
        for number in range(10):
            assert stack.collect(anonymousId=f"a-{number}").status_code == 200
            assert stack.ask("POST", "/v1/batch", WRITE_KEY, json={"batch": make_events(1_000)}).status_code == 200
        wait_until(lambda: stack.open_connections() < 60, "slow bodies are given up", BODY_SECONDS_MAX)
        statuses = {read_status(connection) for connection in connections}
        assert statuses <= {b"HTTP/1.1 408", b"HTTP/1.1 503", b""}, statuses


def read_status(connection: socket.socket) -> bytes:
    with connection:
        connection.setblocking(False)
        try:
            return connection.recv(12)
        except OSError:
            return b""


@pytest.mark.waits
def test_a_body_that_trickles_is_given_up(stack: Stack) -> None:
    """A byte now and then is no progress."""
    connection = begin_body(stack, 1_000_000, 100)
    begin = time.monotonic()
    while not read_or_nothing(connection):
        assert time.monotonic() - begin < BODY_SECONDS_MAX
        time.sleep(0.5)
        connection.send(b"x")


def read_or_nothing(connection: socket.socket) -> bytes:
    try:
        return connection.recv(12)
    except BlockingIOError:
        return b""


def test_many_large_batches_at_once_are_bounded_while_kafka_hangs(stack: Stack) -> None:
    """M11: 40 senders of 2.5 MB had taken 450 MB."""
    body = json.dumps({"batch": make_events(1_200, properties={"text": "x" * 2_000})}).encode()
    packed = gzip.compress(body, 1)

    def send(number: int) -> int:
        options = {"content": packed, "headers": {"Content-Encoding": "gzip"}} if number % 2 else {"content": body}
        return stack.ask("POST", "/v1/batch", WRITE_KEY, **options).status_code

    stack.servers.kafka.freeze()
    try:
        with expecting_no_harm(stack, rss_growth_bytes_max=128 << 20), ThreadPoolExecutor(40) as pool:
            statuses = set(pool.map(send, range(40)))
    finally:
        stack.servers.kafka.thaw()
    assert statuses == {503}
    wait_until(lambda: stack.collect().status_code == 200, "events are taken again")
