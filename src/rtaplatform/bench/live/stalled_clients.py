"""Live clients that ask for large answers and read nothing: half of them streams, half sockets."""

from __future__ import annotations

import socket
import time
from urllib.parse import urlsplit

from rtaplatform.bench.live.frames import mask_frame
from rtaplatform.bench.live.live_crowd import LiveCrowd

RECEIVE_BUFFER_BYTES = 4_096
LARGE_STREAM = "metrics=events&from=-24h&interval=minute&breakdown=source"
LARGE_QUERY = b'{"metric":"events","from":"-24h","interval":"minute","breakdown":["source"]}'


def open_stalled(url: str, crowd: LiveCrowd, number: int) -> list[socket.socket]:
    """Open them. Their receive buffers are small, so that the server soon has to wait."""
    address = urlsplit(url)
    clients = []
    for place in range(number):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        client.settimeout(30)
        client.connect((address.hostname, address.port))
        if place % 2:
            client.sendall(crowd.write_stream_request(LARGE_STREAM))
        else:
            client.sendall(crowd.write_socket_request())
            time.sleep(0.002)
            client.sendall(mask_frame(b'{"type":"subscribe","id":"x","query":' + LARGE_QUERY + b"}"))
        clients.append(client)
    return clients
