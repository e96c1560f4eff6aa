"""What the API is made of: ports, put together by `wiring.py`, handed to every route as `app.state.parts`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from litestar import Request
from litestar.connection import ASGIConnection
from sqlalchemy.engine import Connection

from rtaplatform.analytics.answer.engine import Engine
from rtaplatform.analytics.live.hub import LiveHub
from rtaplatform.analytics.read.product_attributes import ProductCatalog
from rtaplatform.catalog.entities.etags import Condition
from rtaplatform.catalog.keys.key_rows import KeyAccess
from rtaplatform.collect.collector import Collector
from rtaplatform.core.errors import Unavailable
from rtaplatform.profiles.erasure_receipt import PersonToErase
from rtaplatform.serve.connections.connection_limits import ConnectionLimits, make_connection_limits
from rtaplatform.serve.http.cors import CorsOrigins
from rtaplatform.serve.http.health import Health
from rtaplatform.serve.http.limits import RateLimits
from rtaplatform.serve.http.tickets import Tickets
from rtaplatform.settings import ApiSettings, CollectSettings, LimitSettings

T = TypeVar("T")
AnyRequest = Request[Any, Any, Any]


class KeyFinder(Protocol):
    """`catalog.keys.key_cache.KeyCache`, or a dictionary in tests."""

    async def find(self, key: str) -> KeyAccess | None:
        """What a key opens, None where nothing; raises Unavailable."""
        ...

    async def find_hashed(self, hashed: bytes) -> KeyAccess | None:
        """What the key with this SHA-256 opens; as `find`."""
        ...

    async def find_from(self, address: str, key: str, *, may_guess: bool) -> KeyAccess | None:
        """As `find`, for a stranger's key: one that may be a guess is looked up only if `may_guess`."""
        ...


class TransactionRunner(Protocol):
    """`catalog.database.Database`."""

    async def run(self, work: Callable[[Connection], T], *, seconds: float | None = None) -> T:
        """Run `work` in one transaction; raises Unavailable."""
        ...


class PersonEraser(Protocol):
    """`profiles.erasure.PersonErasure`."""

    async def erase(self, who: PersonToErase, condition: Condition | None = None) -> dict[str, Any]:
        """The receipt; raises PreconditionFailed, Unavailable."""
        ...


@dataclass(frozen=True)
class QueryServices:
    """What the routes of `serve/query` answer with."""

    engine: Engine
    hub: LiveHub
    products: ProductCatalog
    tickets: Tickets = field(default_factory=Tickets)


@dataclass(frozen=True)
class CatalogServices:
    """What the routes of `serve/catalog` work with. `publish_projects` tells the shards of all projects, at once."""

    database: TransactionRunner
    erasure: PersonEraser
    publish_projects: Callable[[], Awaitable[None]]
    # One import works at a time, for a moment: so many of them hold nobody up.
    import_turns: asyncio.Lock = field(default_factory=asyncio.Lock)


def _nothing() -> None: ...


@dataclass(frozen=True)
class Dependencies:
    """`questions` and `catalog` are None in a process that only collects, as in tests."""

    keys: KeyFinder
    collector: Collector
    health: Health
    settings: ApiSettings = field(default_factory=ApiSettings)
    collect: CollectSettings = field(default_factory=CollectSettings)
    limits: RateLimits = field(default_factory=lambda: RateLimits(LimitSettings()))
    questions: QueryServices | None = None
    catalog: CatalogServices | None = None
    # Called when a stop is asked for: streams that would go on for ever end here.
    before_stop: Callable[[], None] = _nothing
    bounds: ConnectionLimits = field(default_factory=lambda: make_connection_limits(ApiSettings()))
    # Which pages may ask and send.
    origins: CorsOrigins = field(default_factory=CorsOrigins)
    # Entered when the server starts, on its event loop; left after the last request.
    lifespan: Callable[[], AbstractAsyncContextManager[Any]] = nullcontext


FindAccess = Callable[[ASGIConnection[Any, Any, Any, Any], Dependencies], Awaitable[KeyAccess | None]]


def dependencies_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Dependencies:
    parts: Dependencies = connection.app.state["parts"]
    return parts


def questions_of(parts: Dependencies) -> QueryServices:
    """What questions are answered with."""
    assert parts.questions is not None, "routes of questions are put into a process without what answers them"
    return parts.questions


def catalog_of(connection: ASGIConnection[Any, Any, Any, Any]) -> CatalogServices:
    """What the catalog works with; raises Unavailable where this process has it not."""
    parts = dependencies_of(connection)
    if parts.catalog is None:
        raise Unavailable("postgres", "This process has no catalog.")
    return parts.catalog
