"""Granian as the API needs it: on our own socket, HTTP/1 only, with small buffers.

HTTP/2 has no benefit here: browsers use it only over TLS, and the proxy that ends TLS speaks HTTP/1 to us. With its
windows, a client that reads nothing could fill the memory, and no limit can be set for that.
"""

from __future__ import annotations

import os
import socket
from typing import Any

from granian._granian import SocketHolder
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.embed import Server

from rtaplatform.cli.listener import BACKLOG, find_headroom

HEAD_READ_MS_MAX = 10_000  # for a request's head: after connecting, and between two requests
BUFFER_BYTES_MAX = 32 << 10  # per connection and direction; also the limit of a request's head
LOGGED = LogLevels.error  # lower levels log a line for each client that disconnects


class ApiServer(Server):
    """A server on a socket that is bound already."""

    def __init__(self, app: Any, listener: socket.socket, **options: Any) -> None:
        super().__init__(app, **options)
        self._listener = listener

    def _init_shared_socket(self) -> None:
        # The server closes the socket that it gets.
        make_holder: Any = SocketHolder  # untyped in granian
        self._shd = make_holder(os.dup(self._listener.fileno()), False, BACKLOG)


def make_server(app: Any, listener: socket.socket, connections_max: int) -> ApiServer:
    """A server that accepts a few connections above the limit, so that new ones need not wait for the guard."""
    host, port = listener.getsockname()[:2]
    return ApiServer(
        app,
        listener,
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,
        backlog=BACKLOG,
        backpressure=connections_max + find_headroom(connections_max),
        http1_settings=HTTP1Settings(header_read_timeout=HEAD_READ_MS_MAX, max_buffer_size=BUFFER_BYTES_MAX),
        log_level=LOGGED,
        log_dictconfig={"loggers": {"_granian": {"handlers": [], "propagate": True}}},
        log_access=False,
    )
