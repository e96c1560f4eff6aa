"""The server's functions of one socket, as the application calls them."""

from __future__ import annotations

import asyncio
from typing import Any

from rtaplatform.serve.connections.server_channel import ServerChannel


async def test_a_text_that_a_client_takes_slowly_is_kept_by_the_server_alone() -> None:
    sent, is_taken = list[Any](), asyncio.Event()

    async def send(message: Any) -> None:
        sent.append(message)
        await is_taken.wait()

    message = {"type": "websocket.send", "text": "a large answer"}
    sending = asyncio.create_task(ServerChannel(asyncio.Event().wait, send).send(message))
    await asyncio.sleep(0)
    assert sent == [{"type": "websocket.send", "text": "a large answer"}]
    assert message == {"type": "websocket.send"}
    is_taken.set()
    await sending
