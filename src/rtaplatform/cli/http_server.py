"""Granian, as the API needs it: on a socket of ours, HTTP/1 only, with small buffers.

HTTP/2 brings nothing here: browsers speak it over TLS only, and the proxy that ends TLS speaks HTTP/1 to us. Its
windows would let a client that reads nothing fill the memory, without a limit that could be set.
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

from rtaplatform.cli.listener import BACKLOG, headroom_of

HEAD_READ_MS_MAX = 10_000  # until a request's head is there: after connecting, and between two requests
BUFFER_BYTES_MAX = 32 << 10  # of a connection, each way; a request's head is no longer than that
LOGGED = LogLevels.error  # below that it says that it is embedded, and has a line for each client that goes away


class ApiServer(Server):
    """On a listener that is bound already."""

    def __init__(self, app: Any, listener: socket.socket, **options: Any) -> None:
        super().__init__(app, **options)
        self._listener = listener

    def _init_shared_socket(self) -> None:
        # The server closes what it is given.
        make_holder: Any = SocketHolder  # untyped in granian
        self._shd = make_holder(os.dup(self._listener.fileno()), False, BACKLOG)


def make_server(app: Any, listener: socket.socket, connections_max: int) -> ApiServer:
    """Takes as many connections as the warden lets be, and a few more, so that a newcomer need not wait for it."""
    host, port = listener.getsockname()[:2]
    return ApiServer(
        app,
        listener,
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,
        backlog=BACKLOG,
        backpressure=connections_max + headroom_of(connections_max),
        http1_settings=HTTP1Settings(header_read_timeout=HEAD_READ_MS_MAX, max_buffer_size=BUFFER_BYTES_MAX),
        log_level=LOGGED,
        log_dictconfig={"loggers": {"_granian": {"handlers": [], "propagate": True}}},
        log_access=False,
    )
