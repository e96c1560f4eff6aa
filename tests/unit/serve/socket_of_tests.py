"""A bare ASGI client of the live socket."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlencode

import msgspec
from litestar import Litestar

PATH = "/v1/live/ws"


def make_scope(
    *, key: str | None = "reader", parameters: dict[str, str] | None = None, headers: dict[str, str] | None = None,
    client: Any = ("127.0.0.1", 1),
) -> Any:  # fmt: skip
    """The scope of a socket, as the server makes it."""
    names = {"host": "test", **({"authorization": f"Bearer {key}"} if key else {}), **(headers or {})}
    return {
        "type": "websocket", "asgi": {"version": "3.0"}, "http_version": "1.1", "path": PATH,
        "raw_path": PATH.encode(), "query_string": urlencode(parameters or {}).encode(), "root_path": "",
        "scheme": "ws", "headers": [(n.encode(), v.encode()) for n, v in names.items()],
        "client": client, "server": ("test", 80), "subprotocols": [], "state": {}, "extensions": {},
    }  # fmt: skip


class Socket:
    """A socket that stays open until `leave`. `is_stuck`: the client reads nothing after it is accepted."""

    def __init__(
        self, app: Litestar, *, key: str | None = "reader", parameters: dict[str, str] | None = None,
        headers: dict[str, str] | None = None, is_stuck: bool = False, client: Any = ("127.0.0.1", 1),
    ) -> None:  # fmt: skip
        self.is_accepted, self.code = False, 0
        self.messages = list[Any]()
        self._is_stuck, self._news = is_stuck, asyncio.Event()
        self._incoming: asyncio.Queue[Any] = asyncio.Queue()
        self._incoming.put_nowait({"type": "websocket.connect"})
        scope = make_scope(key=key, parameters=parameters, headers=headers, client=client)
        self.task = asyncio.ensure_future(app(scope, self._incoming.get, self._send))

    def say(self, **message: Any) -> None:
        self.say_raw(msgspec.json.encode(message).decode())

    def say_raw(self, text: str) -> None:
        self._incoming.put_nowait({"type": "websocket.receive", "text": text})

    def subscribe(self, id: str, query: Any, **more: Any) -> None:
        self.say(type="subscribe", id=id, query=query, **more)

    async def take_next(self, *types: str) -> Any:
        """Take the next message of these types; others are dropped. None if the socket ends before."""
        async with asyncio.timeout(5):
            while True:
                while self.messages:
                    message = self.messages.pop(0)
                    if not types or message["type"] in types:
                        return message
                if self.task.done():
                    return None
                self._news.clear()
                news = asyncio.ensure_future(self._news.wait())
                await asyncio.wait({news, self.task}, return_when=asyncio.FIRST_COMPLETED)
                news.cancel()

    async def end(self) -> int:
        """Wait until the server has closed the socket. Returns its code."""
        await asyncio.wait_for(asyncio.shield(self.task), 5)
        return self.code

    async def leave(self) -> None:
        self._incoming.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await asyncio.wait_for(self.task, 5)

    async def _send(self, message: Any) -> None:
        if message["type"] == "websocket.accept":
            self.is_accepted = True
        elif self._is_stuck:
            await asyncio.Event().wait()
        elif message["type"] == "websocket.close":
            self.code = message["code"]
        else:
            self.messages.append(msgspec.json.decode(message["text"]))
        self._news.set()
