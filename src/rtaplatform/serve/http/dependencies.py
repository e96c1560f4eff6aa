"""What the API is made of: ports, put together by `wiring.py`, handed to every route as `app.state.parts`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

from litestar.connection import ASGIConnection

from rtaplatform.catalog.keys.key_cache import KeyAccess
from rtaplatform.collect.collector import Collector
from rtaplatform.serve.connections.connection_limits import ConnectionLimits, make_connection_limits
from rtaplatform.serve.http.cors import CorsOrigins
from rtaplatform.serve.http.health import Health
from rtaplatform.serve.http.limits import RateLimits
from rtaplatform.serve.http.tickets import Tickets
from rtaplatform.settings import ApiSettings, CollectSettings, LimitSettings


class KeyFinder(Protocol):
    """`catalog.keys.KeyRing`, or a dictionary in tests."""

    async def find(self, key: str) -> KeyAccess | None:
        """What a key opens, None where nothing; raises Unavailable."""
        ...

    async def find_hashed(self, hashed: bytes) -> KeyAccess | None:
        """What the key with this SHA-256 opens; as `find`."""
        ...

    async def find_from(self, address: str, key: str, *, may_guess: bool) -> KeyAccess | None:
        """As `find`, for a stranger's key: one that may be a guess is looked up only if `may_guess`."""
        ...


def _nothing() -> None: ...


@dataclass(frozen=True)
class Dependencies:
    """`products`, `engine`, `hub` and `tickets` are what serve/query/query_routes.py and serve/query/live_routes.py ask
    for.
    """

    keys: KeyFinder
    collector: Collector
    health: Health
    settings: ApiSettings = field(default_factory=ApiSettings)
    collect: CollectSettings = field(default_factory=CollectSettings)
    limits: RateLimits = field(default_factory=lambda: RateLimits(LimitSettings()))
    products: Any = None
    # `catalog.database.Database`: what the catalog's routes run their transactions on.
    database: Any = None
    # One import works at a time, for a moment: so many of them hold nobody up.
    import_turns: asyncio.Lock = field(default_factory=asyncio.Lock)
    # `catalog.erasure.Erasure`.
    erasure: Any = None
    # Tells the shards of all projects, at once.
    publish_projects: Callable[[], Awaitable[None]] | None = None
    engine: Any = None
    hub: Any = None
    # Called when a stop is asked for: streams that would go on for ever end here.
    before_stop: Callable[[], None] = _nothing
    bounds: ConnectionLimits = field(default_factory=lambda: make_connection_limits(ApiSettings()))
    # Which pages may ask and send.
    origins: CorsOrigins = field(default_factory=CorsOrigins)
    tickets: Tickets = field(default_factory=Tickets)
    # Entered when the server starts, on its event loop; left after the last request.
    lifespan: Callable[[], AbstractAsyncContextManager[Any]] = nullcontext


FindAccess = Callable[[ASGIConnection[Any, Any, Any, Any], Dependencies], Awaitable[KeyAccess | None]]


def dependencies_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Dependencies:
    parts: Dependencies = connection.app.state["parts"]
    return parts
