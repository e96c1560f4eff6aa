"""A TCP relay before a server, as a load balancer is: `target` may change; open connections stay where they are."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

from rtaplatform.local.data.ports import LOOPBACK


class Relay:
    """Listens until `close`. Threads of its own; none outlives the test process."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.opened = 0
        self._listener = socket.create_server((LOOPBACK, 0))
        threading.Thread(target=self._accept, daemon=True, name="relay").start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.opened += 1
                server = socket.create_connection((LOOPBACK, self.target))
                for source, other in ((client, server), (server, client)):
                    threading.Thread(target=_pump, args=(source, other), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
