"""The parts of the API. `wiring/api.py` makes them; every route finds them in `app.state`."""

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
from rtaplatform.feed.letter_replay import LetterReplay
from rtaplatform.feed.letter_search import LetterSearch
from rtaplatform.profiles.erasure_receipt import PersonToErase
from rtaplatform.serve.collect.daily_salt import DailySalt
from rtaplatform.serve.connections.body_intake import BODY_BYTES_MAX
from rtaplatform.serve.connections.connection_limits import ConnectionLimits, make_connection_limits
from rtaplatform.serve.feed.subscriptions import FeedSubscriptions
from rtaplatform.serve.http.cors import CorsOrigins
from rtaplatform.serve.http.health import Health
from rtaplatform.serve.http.limits import RateLimits
from rtaplatform.serve.http.tickets import Tickets
from rtaplatform.serve.query.key_watch import KeyWatches
from rtaplatform.serve.session.sessions import Sessions
from rtaplatform.settings import ApiSettings, LimitSettings

T = TypeVar("T")
AnyRequest = Request[Any, Any, Any]


class KeyFinder(Protocol):
    """Finds out what a key opens: `catalog.keys.key_cache.KeyCache`, or a dictionary in tests."""

    async def find(self, key: str) -> KeyAccess | None:
        """Return what a key opens; None if it opens nothing. Raises Unavailable."""
        ...

    async def find_hashed(self, key_hash: bytes) -> KeyAccess | None:
        """Like `find`, for the key with this SHA-256."""
        ...

    async def find_from(self, address: str, key: str, *, may_guess: bool) -> KeyAccess | None:
        """Like `find`, for a key that may be a guess: unless `may_guess`, it is looked up only if it exists."""
        ...


class TransactionRunner(Protocol):
    """Runs work in transactions of the catalog (`catalog.database.Database`)."""

    async def run(self, work: Callable[[Connection], T], *, seconds: float | None = None) -> T:
        """Run `work` in one transaction; raises Unavailable."""
        ...


class PersonEraser(Protocol):
    """Erases a person wherever the platform has them (`profiles.erasure.PersonErasure`)."""

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
    sessions: Sessions = field(default_factory=Sessions)
    feeds: FeedSubscriptions | None = None  # None: this process has no feed, as in tests
    letters: LetterSearch | None = None
    replay: LetterReplay | None = None
    key_watches: KeyWatches = field(default_factory=KeyWatches)


@dataclass(frozen=True)
class CollectIntake:
    """How collecting requests are read. `find_location` tells where an address is, if there is a file of locations.

    `salt` names visitors without an id.
    """

    body_bytes_max: int = BODY_BYTES_MAX
    denied: frozenset[str] = frozenset()  # properties and traits that are not stored
    find_location: Callable[[str], VisitorLocation] | None = None
    salt: DailySalt = field(default_factory=DailySalt)
    bot_events_per_minute: int = 3_000


@dataclass(frozen=True)
class CatalogServices:
    """The services behind the routes of `serve/catalog`. `publish_projects` writes all projects to their shards now."""

    database: TransactionRunner
    erasure: PersonEraser
    publish_projects: Callable[[], Awaitable[None]]
    # Imports take turns, one chunk of rows at a time, so that many imports do not block other requests.
    import_turns: asyncio.Lock = field(default_factory=asyncio.Lock)


def _ignore_stop() -> None: ...


@dataclass(frozen=True)
class Dependencies:
    """All parts of the API. `questions` and `catalog` may be None if no route needs them, as in tests."""

    keys: KeyFinder
    collector: Collector
    health: Health
    settings: ApiSettings = field(default_factory=ApiSettings)
    intake: CollectIntake = field(default_factory=CollectIntake)
    limits: RateLimits = field(default_factory=lambda: RateLimits(LimitSettings()))
    questions: QueryServices | None = None
    catalog: CatalogServices | None = None
    # Called when the process is asked to stop: it ends the streams, which would never end by themselves.
    before_stop: Callable[[], None] = _ignore_stop
    bounds: ConnectionLimits = field(default_factory=lambda: make_connection_limits(ApiSettings()))
    # The origins whose pages may send events and query.
    origins: CorsOrigins = field(default_factory=CorsOrigins)
    # Entered on the event loop when the server starts, left after the last request.
    lifespan: Callable[[], AbstractAsyncContextManager[Any]] = nullcontext


FindAccess = Callable[[ASGIConnection[Any, Any, Any, Any], Dependencies], Awaitable[KeyAccess | None]]


def find_dependencies(connection: ASGIConnection[Any, Any, Any, Any]) -> Dependencies:
    parts: Dependencies = connection.app.state["parts"]
    return parts


def require_query_services(parts: Dependencies) -> QueryServices:
    assert parts.questions is not None, "a process with query routes has no query services"
    return parts.questions


def require_feeds(connection: ASGIConnection[Any, Any, Any, Any]) -> FeedSubscriptions:
    """Return the feeds. Raises Unavailable if this process has none."""
    feeds = require_query_services(find_dependencies(connection)).feeds
    if feeds is None:
        raise Unavailable("kafka", "This process has no feed.")
    return feeds


def require_letters(connection: ASGIConnection[Any, Any, Any, Any]) -> LetterSearch:
    """Return the search for dead letters. Raises Unavailable if this process has none."""
    letters = require_query_services(find_dependencies(connection)).letters
    if letters is None:
        raise Unavailable("kafka", "This process has no dead letters.")
    return letters


def require_replay(connection: ASGIConnection[Any, Any, Any, Any]) -> LetterReplay:
    """Return the replay of dead letters. Raises Unavailable if this process has none."""
    replay = require_query_services(find_dependencies(connection)).replay
    if replay is None:
        raise Unavailable("kafka", "This process replays no dead letters.")
    return replay


def require_catalog_services(connection: ASGIConnection[Any, Any, Any, Any]) -> CatalogServices:
    """Return the services of the catalog. Raises Unavailable if this process has none."""
    parts = find_dependencies(connection)
    if parts.catalog is None:
        raise Unavailable("postgres", "This process has no catalog.")
    return parts.catalog
