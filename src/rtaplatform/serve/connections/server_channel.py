"""The server's `receive` and `send` of one socket, which are let go when the application has ended.

The framework's socket refers to itself, so it stays until the garbage collector runs, and with it all that it refers
to. The server closes a connection whose send was given up only when nobody refers to its functions any more.
"""

from __future__ import annotations

from typing import Any, NoReturn

from rtaplatform.serve.connections.body_receiver import Receive
from rtaplatform.serve.connections.response_outlet import Send


class ServerChannel:
    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send

    async def receive(self) -> Any:
        return await self._receive()

    async def send(self, message: Any) -> None:
        """Send a message, and take its text out: the server has its own copy, and the client may take long."""
        sending = self._send({**message})
        message.pop("text", None)
        await sending

    def release(self) -> None:
        """Let go of the server's functions."""
        self._receive = self._send = _refuse


async def _refuse(*_: Any) -> NoReturn:
    raise RuntimeError("The application has ended.")
