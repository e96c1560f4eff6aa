"""Live sockets that ask for much and read nothing: neither memory nor connections stay."""

from __future__ import annotations

import json
import socket

import pytest

from rtaplatform.bench.live.frames import mask_frame
from tests.attacks.harm import expecting_no_harm
from tests.attacks.stack import READ_KEY, Api, Stack, wait_until

SOCKETS = 150
GIVEN_UP_SECONDS_MAX = 30.0
CLOSED_SECONDS_MAX = 30.0
LARGE = {"metric": "events", "from": "-2880m", "interval": "minute"}  # 2,880 points, however few events there are
QUERIES = [LARGE, {**LARGE, "metric": "page_views"}, {**LARGE, "metric": "orders"}]  # together some 280 kB


def open_silent_socket(api: Api) -> socket.socket:
    connection = api.connect(receive_buffer_bytes=2_048)
    connection.sendall(
        b"GET /v1/live/ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Authorization: Bearer %b\r\n\r\n" % READ_KEY.encode()
    )
    assert connection.recv(12) == b"HTTP/1.1 101"
    connection.sendall(mask_frame(json.dumps({"type": "subscribe", "id": "x", "query": QUERIES}).encode()))
    return connection


def count(api: Api, name: str, reason: str) -> float:
    lines = [line for line in api.read_signals().splitlines() if line.startswith(f"{name}{{")]
    return sum(float(line.split()[-1]) for line in lines if f'reason="{reason}"' in line)


def count_given_up(api: Api) -> float:
    """How many live clients were dropped because they take nothing."""
    return count(api, "rta_live_dropped_total", "takes_nothing")


def count_cut(api: Api) -> float:
    """How many connections the guard has cut because their clients take nothing."""
    return count(api, "rta_connections_cut_total", "stalled")


@pytest.mark.waits
def test_sockets_that_read_nothing_are_cut_and_take_little_memory(stack: Stack) -> None:
    given_up_expected, cut_before = count_given_up(stack) + SOCKETS, count_cut(stack)
    with expecting_no_harm(stack):
        connections = [open_silent_socket(stack) for _ in range(SOCKETS)]
        wait_until(lambda: count_given_up(stack) >= given_up_expected, "all are given up", GIVEN_UP_SECONDS_MAX)
        wait_until(lambda: stack.open_connections() == 0, "their connections are closed", CLOSED_SECONDS_MAX)
    assert (count_given_up(stack), count_cut(stack)) == (given_up_expected, cut_before + SOCKETS)
    for connection in connections:
        connection.close()
