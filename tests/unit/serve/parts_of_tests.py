"""The application over a shop in memory, and a bare ASGI client that can read a stream as it comes."""

from __future__ import annotations

import asyncio
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from litestar import Litestar

from rtaplatform.analytics.live import live_query
from rtaplatform.analytics.live.hub import LiveHub
from rtaplatform.catalog.keys.key_format import hash_key
from rtaplatform.catalog.keys.key_rows import KeyAccess
from rtaplatform.core.errors import Unavailable
from rtaplatform.serve.connections.connection_limits import make_connection_limits
from rtaplatform.serve.http.dependencies import CollectIntake, Dependencies, QueryServices
from rtaplatform.serve.http.health import Health
from rtaplatform.serve.http.limits import RateLimits
from rtaplatform.serve.http.tickets import Tickets
from rtaplatform.serve.session.sessions import Sessions
from rtaplatform.settings import ApiSettings, LimitSettings
from tests.unit.analytics.catalog import Catalog
from tests.unit.analytics.shop import Shop
from tests.unit.serve.shared_routes import share_routes

READ = KeyAccess("demo", "prj_1", frozenset({"read"}), "key_1")
WRITE = KeyAccess("demo", "prj_1", frozenset({"collect"}), "key_2")


class Keys:
    def __init__(self) -> None:
        self.accesses = {"reader": READ, "writer": WRITE}
        self.look_ups, self.is_away = 0, False
        self.guesses = list[str]()

    async def find(self, key: str) -> KeyAccess | None:
        self.look_ups += 1
        if self.is_away:
            raise Unavailable("postgres", "away")
        return self.accesses.get(key)

    async def find_hashed(self, hashed: bytes) -> KeyAccess | None:
        return await self.find(next((key for key in self.accesses if hash_key(key) == hashed), ""))

    async def find_from(self, address: str, key: str, *, may_guess: bool) -> KeyAccess | None:
        if key not in self.accesses:
            if not may_guess:
                return None
            self.guesses.append(key)
        return await self.find(key)


def shorten_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of live queries: after an outage they look again at once."""
    monkeypatch.setattr(live_query, "RETRY_S", 0.02)
    monkeypatch.setattr(live_query, "IDLE_S", 0.02)


class Site:
    """An application, its shop and its keys."""

    def __init__(
        self, shop: Shop | None = None, products: Any = None, *, limits: LimitSettings | None = None,
        collector: Any = None, tickets: Tickets | None = None, sessions: Sessions | None = None, catalog: Any = None,
        find_location: Any = None, feeds: Any = None, letters: Any = None, replay: Any = None, **settings: Any,
    ) -> None:  # fmt: skip
        self.shop, self.keys = shop or Shop(catalog=Catalog({})), Keys()
        self.hub = LiveHub(self.shop.engine, self.shop.reader, interval_ms=20, connections_max=3)
        self.services = QueryServices(
            self.shop.engine, self.hub, products or Catalog({}), tickets or Tickets(), sessions or Sessions(),
            feeds, letters, replay,
        )  # fmt: skip
        api = ApiSettings(**settings)
        self.parts = Dependencies(
            keys=self.keys, collector=collector, health=Health({}), questions=self.services,
            settings=api, bounds=make_connection_limits(api), limits=RateLimits(limits or LimitSettings()),
            intake=CollectIntake(find_location=find_location), catalog=catalog,
        )  # fmt: skip

    @cached_property
    def app(self) -> Litestar:
        """Made when somebody asks for it: that takes a tenth of a second, and some tests need the parts alone."""
        return share_routes(self.parts)

    async def ask(
        self, method: str, path: str, *, key: str | None = "reader", body: Any = None, **parameters: str
    ) -> Reply:
        """One request, read to its end."""
        return await self.ask_raw(method, path, urlencode(parameters).encode(), key=key, body=body)

    async def ask_raw(
        self, method: str, path: str, query: bytes, *, key: str | None = "reader", body: Any = None,
        headers: dict[str, str] | None = None,
    ) -> Reply:  # fmt: skip
        """One request with its query as it is sent."""
        stream = Stream(self.app, method, path, key=key, body=body, parameters=query, headers=headers)
        try:
            async with asyncio.timeout(5):
                await stream.task
        finally:
            await stream.leave()
        return Reply(stream.status, stream.body, stream.headers)


class Reply:
    def __init__(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.status, self.body, self.headers = status, body, headers

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Stream:
    """A request that goes on; `leave` closes the connection."""

    def __init__(
        self, app: Litestar, method: str, path: str, *, key: str | None = "reader", body: Any = None,
        parameters: dict[str, str] | bytes | None = None, headers: dict[str, str] | None = None, is_stuck: bool = False,
        is_body_cut: bool = False,
    ) -> None:  # fmt: skip
        self.status, self.body, self.headers = 0, b"", dict[str, str]()
        self._is_stuck, self._departure, self._more = is_stuck, asyncio.Event(), asyncio.Event()
        sent = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
        self._requests = [{"type": "http.request", "body": sent, "more_body": is_body_cut}]
        names = {"host": "test", **({"authorization": f"Bearer {key}"} if key else {}), **(headers or {})}
        query = parameters if isinstance(parameters, bytes) else urlencode(parameters or {}).encode()
        scope: Any = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path,
            "raw_path": path.encode(), "query_string": query, "root_path": "",
            "scheme": "http",
            "headers": [(n.encode(), v.encode()) for n, v in names.items()], "client": ("127.0.0.1", 1),
            "server": ("test", 80), "state": {}, "extensions": {},
        }  # fmt: skip
        self.task = asyncio.ensure_future(app(scope, self._receive, self._send))

    async def read_events(self, number: int) -> list[tuple[str, str, Any]]:
        """The first `number` events: id, name, data."""
        async with asyncio.timeout(5):
            while True:
                blocks = [b for b in self.body.decode().split("\n\n")[:-1] if not b.startswith(":")]
                if len(blocks) >= number or self.task.done():
                    return [_parse_event(block) for block in blocks]
                self._more.clear()
                await self._more.wait()

    async def read_opening(self) -> str:
        """What a stream says first."""
        async with asyncio.timeout(5):
            while b"\n\n" not in self.body:
                self._more.clear()
                await self._more.wait()
        return self.body.decode().partition("\n\n")[0]

    async def leave(self) -> None:
        self._departure.set()
        await asyncio.wait_for(self.task, 5)

    async def _receive(self) -> Any:
        if self._requests:
            return self._requests.pop(0)
        await self._departure.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {n.decode(): v.decode() for n, v in message["headers"]}
        elif self._is_stuck:
            await asyncio.Event().wait()
        else:
            self.body += message.get("body", b"")
        self._more.set()


def _parse_event(block: str) -> tuple[str, str, Any]:
    fields = dict(line.split(": ", 1) for line in block.splitlines())
    return fields.get("id", ""), fields["event"], msgspec.json.decode(fields["data"])
