"""Which connections are cut, and when.   The HTTP server itself neither bounds them fairly nor drops slow readers.

Two rules, and no other connection is ever touched:

- *Room*: beyond `connections_max`, the address that has the most gives back first: connections without a request, the
  longest silent first, then those whose request is the newest. Addresses of trusted proxies are exempt.
- *Stalled*: the edge names a connection whose client takes nothing of its answer.

The process's own sockets are looked at, and only when there is something to cut. What is looked at is a duplicate of a
descriptor: the server may close it meanwhile, and its number may belong to another file by then. A thread does this, so
that connections are cut while the event loop is busy.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from heapq import heapify, heappop, heapreplace
from pathlib import Path

from msgspec import Struct

from rtaplatform import telemetry
from rtaplatform.serve.connections.networks import network_of

Peer = tuple[str, int]
LOOK_SECONDS = 0.1
ROOM_SHARE = 0.75  # down to so much of the limit is cut, so that newcomers have room until the next look
DESCRIPTORS = Path("/proc/self/fd")
_LAST_RECEIVED = struct.Struct("52xI")  # tcp_info: milliseconds since the last byte came
_log = telemetry.logger("serve.warden")


class OpenConnection(Struct, frozen=True):
    """One of the API's connections. `began_at` is None while there is no request on it."""

    peer: Peer
    silent_ms: int
    began_at: float | None


class ConnectionGuard:
    """`port`: the API's own. `is_exempt`: whether an address is a trusted proxy's."""

    def __init__(self, connections_max: int, *, is_exempt: Callable[[str], bool] = lambda address: False) -> None:
        self.connections_max, self._is_exempt = connections_max, is_exempt
        self._requests: dict[Peer, float] = {}
        self._stalled: set[Peer] = set()
        self._stop = threading.Event()

    # what the edge tells ------------------------------------------------------------------------------------------

    def begin(self, peer: Peer) -> None:
        """A request has begun on this connection."""
        self._requests[peer] = time.monotonic()

    def end(self, peer: Peer) -> None:
        self._requests.pop(peer, None)

    def cut(self, peer: Peer) -> None:
        """Cut this connection soon: its client takes nothing."""
        self._stalled.add(peer)

    # the thread -----------------------------------------------------------------------------------------------------

    @contextmanager
    def watching(self, port: int) -> Iterator[None]:
        """Look after the connections to this port; does nothing where the system does not show its descriptors."""
        if not DESCRIPTORS.exists():
            yield
            return
        thread = threading.Thread(target=self._watch, args=(port,), name="warden", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join(timeout=2 * LOOK_SECONDS)

    def _watch(self, port: int) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            try:
                self._look(port)
            except OSError as error:
                _log.warning("warden_failed", error=str(error))

    def _look(self, port: int) -> None:
        named, self._stalled = self._stalled, set()
        is_full = len(os.listdir(DESCRIPTORS)) > self.connections_max
        if not named and not is_full:
            return
        found = {connection.peer: connection for connection in self._connections(port)}
        for_room = set(choose_for_room(self._not_exempt(found.values()), len(found), self.connections_max))
        telemetry.CONNECTIONS_CUT.labels("stalled").inc(len(named & found.keys()))
        telemetry.CONNECTIONS_CUT.labels("room").inc(len(for_room))
        if for_room:
            _log.warning("connections_cut", count=len(for_room), open=len(found), limit=self.connections_max)
        _cut(port, named | for_room)

    def _not_exempt(self, connections: Iterable[OpenConnection]) -> list[OpenConnection]:
        return [one for one in connections if not self._is_exempt(one.peer[0])]

    def _connections(self, port: int) -> Iterator[OpenConnection]:
        requests = dict(self._requests)
        for peer, connection in _open_connections(port):
            (silent_ms,) = _LAST_RECEIVED.unpack(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 56))
            yield OpenConnection(peer, silent_ms, requests.get(peer))


def choose_for_room(connections: list[OpenConnection], count: int, limit: int) -> Iterator[Peer]:
    """Whom to cut where `count` are more than `limit`: always of the network that has the most left."""
    if count <= limit:
        return
    by_network: dict[str, list[OpenConnection]] = defaultdict(list)
    for connection in sorted(connections, key=_last_to_first_cut):
        by_network[network_of(connection.peer[0])].append(connection)
    largest_first = [(-len(found), network) for network, found in by_network.items()]
    heapify(largest_first)
    for _ in range(min(count - int(limit * ROOM_SHARE), len(connections))):
        left, network = largest_first[0]
        yield by_network[network].pop().peer
        if left == -1:
            heappop(largest_first)
        else:
            heapreplace(largest_first, (left + 1, network))


def _last_to_first_cut(connection: OpenConnection) -> tuple[bool, float]:
    """With requests first, the oldest first; then without, those who spoke last first."""
    if connection.began_at is not None:
        return False, connection.began_at
    return True, float(connection.silent_ms)


def _open_connections(port: int) -> Iterator[tuple[Peer, socket.socket]]:
    """Each connection of this process to its own port. The socket is a duplicate, closed before the next one."""
    for name in os.listdir(DESCRIPTORS):
        try:
            duplicate = os.dup(int(name))
        except OSError:
            continue
        try:
            if not stat.S_ISSOCK(os.fstat(duplicate).st_mode):
                continue
            connection = socket.socket(fileno=duplicate)
        except OSError:
            continue
        else:
            duplicate = -1
            with connection:
                if (peer := _peer_of(connection, port)) is not None:
                    yield peer, connection
        finally:
            if duplicate >= 0:
                os.close(duplicate)


def _peer_of(connection: socket.socket, port: int) -> Peer | None:
    try:
        if connection.getsockname()[1] != port:
            return None
        host, peer_port = connection.getpeername()[:2]
        return str(host), int(peer_port)
    except (OSError, IndexError, TypeError):
        return None  # the listener, a socket of another family, or one that has just ended


def _cut(port: int, peers: set[Peer]) -> None:
    if not peers:
        return
    for peer, connection in _open_connections(port):
        if peer in peers:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it has ended by itself
