"""The parts of the API. `wiring.py` makes them; every route finds them in `app.state`."""

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
from rtaplatform.collect.enrich.locations import VisitorLocation
from rtaplatform.core.errors import Unavailable
from rtaplatform.profiles.erasure_receipt import PersonToErase
from rtaplatform.serve.connections.connection_limits import ConnectionLimits, make_connection_limits
from rtaplatform.serve.http.cors import CorsOrigins
from rtaplatform.serve.http.health import Health
from rtaplatform.serve.http.limits import RateLimits
from rtaplatform.serve.http.tickets import Tickets
from rtaplatform.settings import ApiSettings, LimitSettings

T = TypeVar("T")
AnyRequest = Request[Any, Any, Any]


class KeyFinder(Protocol):
    """Finds out what a key opens: `catalog.keys.key_cache.KeyCache`, or a dictionary in tests."""

    async def find(self, key: str) -> KeyAccess | None:
        """Return what a key opens; None if it opens nothing. Raises Unavailable."""
        ...

    async def find_hashed(self, hashed: bytes) -> KeyAccess | None:
        """Like `find`, for the key with this SHA-256."""
        ...

    async def find_from(self, address: str, key: str, *, may_guess: bool) -> KeyAccess | None:
        """Like `find`, for a key that may be a guess: unless `may_guess`, it is looked up only if it exists."""
        ...


class TransactionRunner(Protocol):
    """`catalog.database.Database`."""

    async def run(self, work: Callable[[Connection], T], *, seconds: float | None = None) -> T:
        """Run `work` in one transaction; raises Unavailable."""
        ...


class PersonEraser(Protocol):
    """`profiles.erasure.PersonErasure`."""

    async def erase(self, person: PersonToErase, condition: Condition | None = None) -> dict[str, Any]:
        """Erase the person and return the receipt. Raises PreconditionFailed, Unavailable."""
        ...


@dataclass(frozen=True)
class QueryServices:
    """The services behind the routes of `serve/query`."""

    engine: Engine
    hub: LiveHub
    products: ProductCatalog
    tickets: Tickets = field(default_factory=Tickets)


@dataclass(frozen=True)
class CollectIntake:
    """How collecting requests are read. `find_location` tells where an address is, if there is a file of locations."""

    body_bytes_max: int = 4 << 20
    denied: frozenset[str] = frozenset()  # properties and traits that are not stored
    find_location: Callable[[str], VisitorLocation] | None = None


@dataclass(frozen=True)
class CatalogServices:
    """The services behind the routes of `serve/catalog`. `publish_projects` writes all projects to their shards now."""

    database: TransactionRunner
    erasure: PersonEraser
    publish_projects: Callable[[], Awaitable[None]]
    # Imports take turns, one chunk of rows at a time, so that many imports do not block other requests.
    import_turns: asyncio.Lock = field(default_factory=asyncio.Lock)


def _nothing() -> None: ...


@dataclass(frozen=True)
class Dependencies:
    """All parts of the API. `questions` and `catalog` may be None if no route needs them, as in tests."""

    keys: KeyFinder
    collector: Collector
    health: Health
    settings: ApiSettings = field(default_factory=ApiSettings)
    intake: CollectIntake = CollectIntake()
    limits: RateLimits = field(default_factory=lambda: RateLimits(LimitSettings()))
    questions: QueryServices | None = None
    catalog: CatalogServices | None = None
    # Called when the process is asked to stop: it ends the streams, which would never end by themselves.
    before_stop: Callable[[], None] = _nothing
    bounds: ConnectionLimits = field(default_factory=lambda: make_connection_limits(ApiSettings()))
    # The origins whose pages may send events and query.
    origins: CorsOrigins = field(default_factory=CorsOrigins)
    # Entered on the event loop when the server starts, left after the last request.
    lifespan: Callable[[], AbstractAsyncContextManager[Any]] = nullcontext


FindAccess = Callable[[ASGIConnection[Any, Any, Any, Any], Dependencies], Awaitable[KeyAccess | None]]


def dependencies_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Dependencies:
    parts: Dependencies = connection.app.state["parts"]
    return parts


def query_services_of(parts: Dependencies) -> QueryServices:
    assert parts.questions is not None, "a process with query routes has no query services"
    return parts.questions


def catalog_services_of(connection: ASGIConnection[Any, Any, Any, Any]) -> CatalogServices:
    """Return the services of the catalog. Raises Unavailable if this process has none."""
    parts = dependencies_of(connection)
    if parts.catalog is None:
        raise Unavailable("postgres", "This process has no catalog.")
    return parts.catalog
