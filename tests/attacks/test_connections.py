"""Connections that are held: idle, half a request, HTTP/2, never read, vanished."""

from __future__ import annotations

import random
import socket
import struct
import time
from contextlib import suppress

import httpx
import pytest

from tests.attacks.harm import expecting_no_harm
from tests.attacks.stack import READ_KEY, Api, Stack, wait_until

IDLE_SECONDS_MAX = 14  # HEAD_READ_MS_MAX and a little
DROPPED_SECONDS_MAX = 30.0


def is_open(connection: socket.socket) -> bool:
    """Whether the API has neither answered nor closed it."""
    connection.setblocking(False)
    try:
        return connection.recv(65_536) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


@pytest.mark.waits
def test_idle_connections_are_closed_and_keep_nobody_out(stack: Stack) -> None:
    """C3: 316 connections without a byte had ended the API."""
    forms = (
        b"",
        b"GET /health/live HT",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST /v1/track HTTP/1.1\r\nHost: a\r\n",
    )
    with expecting_no_harm(stack):
        connections = [stack.connect() for _ in range(1_200)]
        for number, connection in enumerate(connections):
            connection.sendall(forms[number % len(forms)])
        assert stack.collect().status_code == 200
        wait_until(lambda: not any(map(is_open, connections[::50])), "idle connections are closed", IDLE_SECONDS_MAX)
        for connection in connections:
            connection.close()


def test_an_address_with_too_many_connections_gives_back_first(stack: Stack) -> None:
    """C3: beyond the limit there is room for others, at once."""
    with stack.running_another_api(RTA_API_CONNECTIONS_MAX="200") as api, expecting_no_harm(api):
        regular = httpx.Client(base_url=api.url, headers={"Authorization": f"Bearer {READ_KEY}"})
        assert regular.get("/v1/metrics").status_code == 200
        connections = [api.connect() for _ in range(600)]
        for _ in range(20):
            assert regular.get("/v1/metrics").status_code == 200
            assert api.collect().status_code == 200
        wait_until(lambda: api.open_connections() <= 200, "there is room again", 5)
        for connection in connections:
            connection.close()


@pytest.mark.waits
def test_http_2_is_not_spoken(stack: Stack) -> None:
    """C2a: windows of 0 had kept what 200 streams a connection were answered."""
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + struct.pack(">IB", 0, 4)[1:] + b"\0" + bytes(4)
    with stack.connect() as connection:
        connection.sendall(preface)
        connection.settimeout(IDLE_SECONDS_MAX)
        answer = connection.recv(1_000)
        assert answer == b"" or answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 505"))


@pytest.mark.waits
def test_answers_that_nobody_reads_are_dropped(stack: Stack) -> None:
    """H5 and C2a: /openapi.json (200 KB, no key) on 300 connections that read nothing."""
    request = b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n"
    with expecting_no_harm(stack):
        connections = [stack.connect(receive_buffer_bytes=2_048) for _ in range(300)]
        for connection in connections:
            connection.sendall(request * 10)
        assert stack.ask("GET", "/v1/metrics/events").status_code == 200
        wait_until(lambda: stack.open_connections() == 0, "their connections are closed", DROPPED_SECONDS_MAX)
        for connection in connections:
            connection.close()


def live(api: Api, query: str, *, receive_buffer_bytes: int | None = None) -> socket.socket:
    connection = api.connect(receive_buffer_bytes=receive_buffer_bytes)
    head = f"GET /v1/live?{query} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {READ_KEY}\r\n\r\n"
    connection.sendall(head.encode())
    return connection


def count_live_connections(api: Api) -> float:
    """Streams and sockets together: another module of the session may have opened sockets."""
    lines = [line for line in api.read_signals().splitlines() if line.startswith("rta_live_connections{")]
    return sum(float(line.split()[-1]) for line in lines)


@pytest.mark.waits
def test_streams_that_nobody_reads_are_dropped_and_closed(stack: Stack) -> None:
    """H5, G13: large answers, no reader; after 30 s neither memory nor sockets are kept."""
    query = "metrics=events,page_views,orders&from=-2880m&interval=minute"  # one result each, however little there is
    with expecting_no_harm(stack):
        connections = [live(stack, query, receive_buffer_bytes=2_048) for _ in range(40)]
        wait_until(lambda: count_live_connections(stack) >= 30, "streams are open", 20)
        wait_until(lambda: count_live_connections(stack) == 0, "streams are dropped", DROPPED_SECONDS_MAX + 15)
        wait_until(lambda: stack.open_connections() == 0, "their connections are closed", 5)
        for connection in connections:
            connection.close()


SO_ATTACH_FILTER = 26
DROP_ALL = struct.pack("HBBI", 6, 0, 0, 0)  # one instruction of a packet filter: keep 0 bytes


def vanish(connection: socket.socket) -> None:
    """From now on nothing reaches this end: no byte is acknowledged, and nobody is told."""
    import ctypes

    code = ctypes.create_string_buffer(DROP_ALL)
    connection.setsockopt(
        socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", len(DROP_ALL) // 8, ctypes.addressof(code))
    )


@pytest.mark.waits
def test_clients_that_vanish_are_noticed_within_45_seconds(stack: Stack) -> None:
    """D5: 150 had been counted as connected for 240 s."""
    connections = [live(stack, f"metrics=events&from=-{number % 3 + 1}h") for number in range(150)]
    wait_until(lambda: count_live_connections(stack) == 150, "streams are open", 20)
    for connection in connections:
        vanish(connection)
    with expecting_no_harm(stack):
        wait_until(lambda: count_live_connections(stack) == 0, "all are gone", 45)
        wait_until(lambda: stack.open_connections() == 0, "their connections are closed", 5)
    for connection in connections:
        connection.close()


def test_a_second_api_on_a_port_that_is_taken_is_refused(stack: Stack) -> None:
    started = stack.running_another_api(RTA_API_PORT=str(stack.port))
    with pytest.raises(AssertionError, match=f"Port {stack.port} is taken by"):
        started.__enter__()


SLOW_HTTP_SECONDS = 12


def test_slow_clients_of_every_kind_hurt_nobody(stack: Stack, pytestconfig: pytest.Config) -> None:
    """G15: slow heads, bodies and readers at once; nobody else is refused. `--slow-clients 1000`: the long run."""
    number = int(pytestconfig.getoption("--slow-clients"))
    begins = (
        b"GET /health/live HTTP/1.1\r\nHost: a\r\nX: ",
        b"POST /v1/track HTTP/1.1\r\nHost: a\r\nContent-Length: 30000\r\n\r\n",
        b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n",
    )
    with expecting_no_harm(stack):
        connections = [stack.connect(receive_buffer_bytes=2_048) for _ in range(number)]
        for at, connection in enumerate(connections):
            connection.sendall(begins[at % len(begins)])
        deadline = time.monotonic() + SLOW_HTTP_SECONDS * max(1.0, number / 300)
        while time.monotonic() < deadline:
            assert stack.collect().status_code == 200
            assert stack.ask("GET", "/v1/metrics/events").status_code == 200
            trickle(connections, number=20)
        for connection in connections:
            connection.close()


def trickle(connections: list[socket.socket], *, number: int) -> None:
    """A byte from some of them, and a byte read by others."""
    for connection in random.sample(connections, number):
        connection.setblocking(False)
        with suppress(OSError):
            connection.send(b"x")
            connection.recv(1)
