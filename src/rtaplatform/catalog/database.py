"""Transactions in PostgreSQL that do not block the event loop.   Every failure is `Unavailable("postgres", …)`.

Its subclass `Unable` means that the server answers but takes no writes: it is a replica, or was set to read-only. Then
the whole pool is renewed. After a fail-over the next transaction finds the new server by its name, or by the list of
hosts in the URL.

Transactions run in a few dedicated threads, one per connection of the pool; psycopg releases the interpreter while it
waits. The pool, the wait for a connection, each statement (on the server) and each transaction as a whole are bounded.
The last bound works by shutting the socket of a server that hangs. A pooler in transaction mode may be in between:
nothing is prepared, and session settings are set within the transaction.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec
import psycopg
from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from rtaplatform.catalog.stored_json import read_stored_json
from rtaplatform.core.errors import Unable, Unavailable
from rtaplatform.settings import CatalogSettings

T = TypeVar("T")
CONNECTION_LIFE_SECONDS = 1_800
# Serialisation failure, deadlock: PostgreSQL rolled the whole transaction back and expects it to be repeated.
REPEATABLE = frozenset({"40001", "40P01"})
ATTEMPTS_MAX = 5
# A read-only transaction; a server in recovery, or in another state that does not allow the statement.
WRITES_NOTHING = frozenset({"25006", "55000"})
READ_ONLY = "It takes no writes: it is a replica, or read-only."
# So that answers do not depend on settings in the URL, or of the role, the database or the server.
_SESSION = text(
    "SELECT set_config('statement_timeout', :ms, true), set_config('TimeZone', 'UTC', true), "
    "set_config('DateStyle', 'ISO, MDY', true), set_config('IntervalStyle', 'postgres', true)"
)


def connect(url: str, **options: Any) -> psycopg.Connection:
    """Connect by a URL that libpq understands, with one host or several. Host names are resolved each time."""
    scheme, _, location = url.partition("://")
    url = f"{scheme.partition('+')[0]}://{location}"
    return psycopg.connect(url, prepare_threshold=None, client_encoding="utf8", **options)


def make_engine(url: str, *, connect_seconds: float, **options: Any) -> Engine:
    """An engine on such connections. Errors never contain parameters."""
    engine = create_engine("postgresql+psycopg://", hide_parameters=True, **options)
    timeout = max(2, int(connect_seconds))

    @event.listens_for(engine, "do_connect")
    def _connect(dialect: Any, record: Any, arguments: Any, keywords: dict[str, Any]) -> psycopg.Connection:
        """`context` is how SQLAlchemy reads and writes types."""
        return connect(url, connect_timeout=timeout, application_name="rta", context=keywords.get("context"))

    return engine


class _WritesNothing(Exception):
    """The server answers but takes no writes."""


class Database:
    """A bounded pool; `run` is the only way in."""

    def __init__(self, settings: CatalogSettings) -> None:
        self._seconds = settings.timeout_seconds
        self._engine = make_engine(
            settings.url.get_secret_value(),
            connect_seconds=settings.timeout_seconds,
            pool_size=settings.pool_size,
            max_overflow=0,
            pool_timeout=settings.timeout_seconds,
            pool_recycle=CONNECTION_LIFE_SECONDS,
            json_serializer=lambda value: msgspec.json.encode(value).decode(),
            json_deserializer=read_stored_json,
        )
        self._threads = ThreadPoolExecutor(settings.pool_size, "postgres")
        self._transactions: set[_Transaction] = set()

    async def run(self, work: Callable[[Connection], T], *, seconds: float | None = None) -> T:
        """Run `work` in a thread, in one transaction. Raises Unavailable; a broken constraint is an IntegrityError."""
        transaction = _Transaction(self._engine, work, self._seconds if seconds is None else seconds)
        self._transactions.add(transaction)
        future = asyncio.get_running_loop().run_in_executor(self._threads, transaction.run)
        try:
            async with asyncio.timeout(transaction.seconds + 0.5):
                result: T = await future
                return result
        except TimeoutError:
            transaction.abandon()
            raise Unavailable("postgres", f"No answer within {transaction.seconds:g} s.") from None
        except IntegrityError:
            raise
        except _WritesNothing as error:
            raise Unable("postgres", READ_ONLY) from error
        except (DBAPIError, PoolTimeout, OSError) as error:
            raise Unavailable("postgres", _read_first_line(error)) from error
        finally:
            self._transactions.discard(transaction)

    async def check(self) -> None:
        """Raise Unavailable if PostgreSQL does not answer or is not migrated, Unable if it takes no writes."""
        await self.run(_probe)

    async def close(self) -> None:
        for transaction in self._transactions:
            transaction.abandon()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._engine.dispose()


class _Transaction:
    """`work` in a transaction that another thread can abandon."""

    def __init__(self, engine: Engine, work: Callable[[Connection], Any], seconds: float) -> None:
        self.seconds = seconds
        self._engine, self._work = engine, work
        self._is_abandoned = self._is_committing = False
        # The connection that `abandon` may shut. It is set only while the pool has lent it to this transaction.
        self._connection: Any = None
        self._lock = threading.Lock()

    def run(self) -> Any:
        for attempt in range(1, ATTEMPTS_MAX):
            try:
                return self._attempt()
            except _WritesNothing:
                if self._is_abandoned or attempt > 1:
                    raise
            except DBAPIError as error:
                if self._is_abandoned or not self._may_repeat(error, attempt):
                    raise
            time.sleep(random.uniform(0, 0.01 * attempt))  # noqa: S311  # so that two transactions do not collide again
        return self._attempt()

    def _attempt(self) -> Any:
        self._is_committing = False
        with self._engine.connect() as connection, self._hold(connection):
            try:
                with connection.begin():
                    connection.execute(_SESSION, {"ms": str(int(self.seconds * 1000))})
                    result = self._work(connection)
                    self._is_committing = True
                return result
            except _WritesNothing:
                self._renew_pool(connection)
                raise
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) not in WRITES_NOTHING:
                    raise
                self._renew_pool(connection)
                raise _WritesNothing from error

    def _renew_pool(self, connection: Connection) -> None:
        """Make the next transaction connect again, and all others too, since they use the same server."""
        connection.invalidate()
        self._engine.dispose()

    @contextmanager
    def _hold(self, connection: Connection) -> Iterator[None]:
        with self._lock:
            self._connection = connection.connection.driver_connection
        try:
            if self._is_abandoned:
                raise OSError("abandoned")
            yield
        finally:
            # After COMMIT or ROLLBACK, where a server may hang too, and before the pool lends the connection again.
            with self._lock:
                self._connection = None

    def _may_repeat(self, error: DBAPIError, attempt: int) -> bool:
        """Whether to run the transaction again. After a lost connection: once, since SQLAlchemy has renewed the pool.

        If the connection was lost during COMMIT, it is unknown whether the commit happened: the caller must be told.
        """
        if error.connection_invalidated:
            return attempt == 1 and not self._is_committing
        return getattr(error.orig, "sqlstate", None) in REPEATABLE

    def abandon(self) -> None:
        """Wake the thread if it waits for a server that hangs."""
        with self._lock:
            self._is_abandoned = True
            if self._connection is not None:
                _shut(self._connection)


def _shut(connection: psycopg.Connection) -> None:
    with contextlib.suppress(OSError, psycopg.Error):  # the connection is closed already
        server_socket = socket.socket(fileno=connection.fileno())
        try:
            server_socket.shutdown(socket.SHUT_RDWR)
        finally:
            server_socket.detach()


def _probe(connection: Connection) -> None:
    """Read a table that must exist. Raise _WritesNothing if the server takes no writes."""
    connection.execute(text("SELECT 1 FROM projects LIMIT 1"))
    if connection.scalar(text("SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::bool")):
        raise _WritesNothing


def _read_first_line(error: Exception) -> str:
    """The first line of the driver's message, which holds neither the statement nor its parameters."""
    words = str(getattr(error, "orig", None) or error).strip()
    return words.splitlines()[0][:200] if words else type(error).__name__
