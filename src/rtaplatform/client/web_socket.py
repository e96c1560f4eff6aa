"""A small WebSocket client (RFC 6455) over the standard library: text messages, pings, close.

Limits: a message of MESSAGE_BYTES_MAX; each read and write has the timeout of the connection.
"""

from __future__ import annotations

import base64
import os
import socket
import ssl
import struct
from urllib.parse import urlsplit

from rtaplatform.client.problems import ConnectionLost

MESSAGE_BYTES_MAX = 64 << 20
HEAD_BYTES_MAX = 64 << 10
TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA
_FINAL = 0x80
_MASKED = 0x80


class WebSocketClient:
    def __init__(self, url: str, headers: dict[str, str], timeout_s: float) -> None:
        """Connect. `url` begins with http or https. Raises ConnectionLost."""
        try:
            self._socket = _connect(url, timeout_s)
            self._stream = self._socket.makefile("rb")
            self._shake_hands(url, headers)
        except OSError as error:
            raise ConnectionLost(f"The API cannot be reached: {error}") from None

    def send(self, text: str) -> None:
        """Send a message. Raises ConnectionLost."""
        self._send_frame(TEXT, text.encode())

    def receive(self) -> str:
        """Wait for the next message. Raises ConnectionLost, also if nothing comes within the timeout."""
        parts: list[bytes] = []
        while True:
            head, content = self._read_frame()
            kind = head & 0x0F
            if kind == CLOSE:
                code = struct.unpack(">H", content[:2])[0] if len(content) >= 2 else 1005
                raise ConnectionLost(f"The server has closed the connection ({code}).")
            if kind == PING:
                self._send_frame(PONG, content)
            elif kind != PONG:
                parts.append(content)
                if sum(map(len, parts)) > MESSAGE_BYTES_MAX:
                    raise ConnectionLost("A message is too large.")
                if head & _FINAL:
                    return b"".join(parts).decode()

    def close(self) -> None:
        try:
            self._send_frame(CLOSE, struct.pack(">H", 1000))
        except ConnectionLost:
            pass  # it is closed already
        finally:
            self._stream.close()
            self._socket.close()

    def _shake_hands(self, url: str, headers: dict[str, str]) -> None:
        address = urlsplit(url)
        lines = [
            f"GET {address.path} HTTP/1.1",
            f"Host: {address.netloc.rpartition('@')[2]}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
            "Sec-WebSocket-Version: 13",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
        status = self._stream.readline(HEAD_BYTES_MAX).decode("latin-1").split(" ")
        while (line := self._stream.readline(HEAD_BYTES_MAX)) not in (b"\r\n", b""):
            if len(line) >= HEAD_BYTES_MAX:
                break
        if len(status) < 2 or status[1] != "101":
            self._socket.close()
            raise ConnectionLost(f"The API opens no WebSocket: it answers {' '.join(status[1:]).strip() or 'nothing'}.")

    def _read_frame(self) -> tuple[int, bytes]:
        try:
            head, size = self._read(2)
            if size == 126:
                (size,) = struct.unpack(">H", self._read(2))
            elif size == 127:
                (size,) = struct.unpack(">Q", self._read(8))
            if size > MESSAGE_BYTES_MAX:
                raise ConnectionLost("A message is too large.")
            return head, self._read(size)
        except (OSError, ValueError) as error:
            raise ConnectionLost(f"The connection has failed: {error}") from None

    def _read(self, size: int) -> bytes:
        content = self._stream.read(size)
        if len(content) < size:
            raise ConnectionLost("The connection has ended.")
        return content

    def _send_frame(self, kind: int, content: bytes) -> None:
        size = len(content)
        length = (
            bytes([_MASKED | size])
            if size < 126
            else struct.pack(">BH", _MASKED | 126, size)
            if size < 1 << 16
            else struct.pack(">BQ", _MASKED | 127, size)
        )
        mask = os.urandom(4)
        frame_content = bytes(byte ^ mask[place % 4] for place, byte in enumerate(content))
        try:
            self._socket.sendall(bytes([_FINAL | kind]) + length + mask + frame_content)
        except OSError as error:
            raise ConnectionLost(f"The connection has failed: {error}") from None


def _connect(url: str, timeout_s: float) -> socket.socket:
    address = urlsplit(url)
    is_secure = address.scheme == "https"
    plain = socket.create_connection((address.hostname or "", address.port or (443 if is_secure else 80)), timeout_s)
    if not is_secure:
        return plain
    return ssl.create_default_context().wrap_socket(plain, server_hostname=address.hostname)
