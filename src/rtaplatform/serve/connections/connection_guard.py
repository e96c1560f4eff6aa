"""Cut connections.   The HTTP server itself neither shares connections fairly nor drops slow readers.

There are two reasons to cut a connection:

- *Room*: beyond `connections_max`, the network with the most connections loses some. Connections without a request are
  cut first, the longest silent first; then those whose request is the newest. Trusted proxies are exempt.
- *Stalled*: `ResponseOutlet` has reported that the client reads nothing of its response.

The guard looks at the process's own sockets, and only when there is something to cut. It works on duplicates of
descriptors: the server may close one meanwhile, and its number may then belong to another file. It runs in a thread,
so that connections are cut while the event loop is busy.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from heapq import heapify, heappop, heapreplace
from pathlib import Path
from typing import Any

from msgspec import Struct

from rtaplatform import telemetry
from rtaplatform.serve.connections.networks import find_network

Peer = tuple[str, int]
LOOK_SECONDS = 0.1
ROOM_SHARE = 0.75  # cut down to this part of the limit, so that new connections have room until the next look
DESCRIPTORS = Path("/proc/self/fd")
_LAST_RECEIVED = struct.Struct("52xI")  # tcp_info: milliseconds since the last byte was received
_log = telemetry.make_logger("serve.connection_guard")


def find_peer(scope: Any) -> Peer | None:
    """Return whose connection a request came on. None where the server does not say it, as on a Unix socket."""
    client = scope.get("client")
    return (str(client[0]), int(client[1])) if client else None  # Granian gives the port as a text


class OpenConnection(Struct, frozen=True):
    """One of the API's connections. `began_at` is None while there is no request on it."""

    peer: Peer
    silent_ms: int
    began_at: float | None


class ConnectionGuard:
    """Bounds the connections of one API process. `is_exempt` tells whether an address is a trusted proxy's."""

    def __init__(self, connections_max: int, *, is_exempt: Callable[[str], bool] = lambda address: False) -> None:
        self.connections_max, self._is_exempt = connections_max, is_exempt
        self._requests: dict[Peer, float] = {}
        self._stalled_peers: deque[Peer] = deque()  # reported, and not yet cut
        self._stop = threading.Event()

    # reports of the middleware ------------------------------------------------------------------------------------

    def begin(self, peer: Peer) -> None:
        """A request begins on this connection."""
        self._requests[peer] = time.monotonic()

    def end(self, peer: Peer) -> None:
        self._requests.pop(peer, None)

    def cut(self, peer: Peer) -> None:
        """Cut this connection soon: its client reads nothing."""
        self._stalled_peers.append(peer)

    # the thread -----------------------------------------------------------------------------------------------------

    @contextmanager
    def watching(self, port: int) -> Iterator[None]:
        """Guard the connections to this port. Does nothing if the system does not list its descriptors."""
        if not DESCRIPTORS.exists():
            yield
            return
        thread = threading.Thread(target=self._watch, args=(port,), name="connection guard", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join(timeout=2 * LOOK_SECONDS)

    def _watch(self, port: int) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            try:
                self._cut_connections(port)
            except OSError as error:
                _log.warning("connection_guard_failed", error=str(error))

    def _cut_connections(self, port: int) -> None:
        stalled_peers = set(self._take_stalled())
        is_full = len(os.listdir(DESCRIPTORS)) > self.connections_max
        if not stalled_peers and not is_full:
            return
        connections = {connection.peer: connection for connection in self._list_connections(port)}
        candidates = self._without_exempt(connections.values())
        for_room = set(choose_for_room(candidates, len(connections), self.connections_max))
        telemetry.CONNECTIONS_CUT.labels("stalled").inc(len(stalled_peers & connections.keys()))
        telemetry.CONNECTIONS_CUT.labels("room").inc(len(for_room))
        if for_room:
            _log.warning("connections_cut", count=len(for_room), open=len(connections), limit=self.connections_max)
        _cut(port, stalled_peers | for_room)

    def _take_stalled(self) -> Iterator[Peer]:
        # One at a time: the event loop may report another one meanwhile, and it must not be lost.
        while self._stalled_peers:
            yield self._stalled_peers.popleft()

    def _without_exempt(self, connections: Iterable[OpenConnection]) -> list[OpenConnection]:
        return [connection for connection in connections if not self._is_exempt(connection.peer[0])]

    def _list_connections(self, port: int) -> Iterator[OpenConnection]:
        requests = dict(self._requests)
        for peer, connection in _open_connections(port):
            (silent_ms,) = _LAST_RECEIVED.unpack(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 56))
            yield OpenConnection(peer, silent_ms, requests.get(peer))


def choose_for_room(connections: list[OpenConnection], count: int, limit: int) -> Iterator[Peer]:
    """Choose connections to cut if `count` exceeds `limit`: always of the network with the most left."""
    if count <= limit:
        return
    by_network: dict[str, list[OpenConnection]] = defaultdict(list)
    for connection in sorted(connections, key=_rank):
        by_network[find_network(connection.peer[0])].append(connection)
    largest_first = [(-len(members), network) for network, members in by_network.items()]
    heapify(largest_first)
    for _ in range(min(count - int(limit * ROOM_SHARE), len(connections))):
        negative_count, network = largest_first[0]
        yield by_network[network].pop().peer
        if negative_count == -1:
            heappop(largest_first)
        else:
            heapreplace(largest_first, (negative_count + 1, network))


def _rank(connection: OpenConnection) -> tuple[bool, float]:
    """Sort key; the last is cut first. Connections with a request come first, the oldest request first."""
    if connection.began_at is not None:
        return False, connection.began_at
    return True, float(connection.silent_ms)


def _open_connections(port: int) -> Iterator[tuple[Peer, socket.socket]]:
    """Yield each connection to this process's own port, with a duplicate socket that is closed afterwards."""
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
                if (peer := _read_peer(connection, port)) is not None:
                    yield peer, connection
        finally:
            if duplicate >= 0:
                os.close(duplicate)


def _read_peer(connection: socket.socket, port: int) -> Peer | None:
    try:
        if connection.getsockname()[1] != port:
            return None
        host, peer_port = connection.getpeername()[:2]
        return str(host), int(peer_port)
    except (OSError, IndexError, TypeError):
        return None  # the listener, a socket of another family, or one that was just closed


def _cut(port: int, peers: set[Peer]) -> None:
    if not peers:
        return
    for peer, connection in _open_connections(port):
        if peer in peers:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it was closed meanwhile
