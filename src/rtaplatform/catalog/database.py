"""PostgreSQL, reached without holding up the event loop.   Every failure is `Unavailable("postgres", …)`.

Transactions run in a few threads of their own, one per connection of the pool: psycopg leaves the
interpreter to the loop while it waits. Bounded: the pool, the wait for a connection, each statement (on the
server) and each transaction as a whole (here, by shutting the socket of a server that hangs). Works behind a
pooler in transaction mode: nothing is prepared, and the time limit is set within the transaction.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import msgspec
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from rtaplatform.catalog.stored_json import read_stored_json
from rtaplatform.core.errors import Unavailable
from rtaplatform.settings import CatalogSettings

T = TypeVar("T")
CONNECTION_LIFE_SECONDS = 1_800
# Serialisation failure, deadlock: PostgreSQL took the transaction back whole, and asks for it again.
ASKED_AGAIN = frozenset({"40001", "40P01"})
ATTEMPTS_MAX = 5


def driver_url(url: str) -> str:
    """SQLAlchemy's form of a `postgresql://` URL."""
    scheme, _, rest = url.partition("://")
    return f"postgresql+psycopg://{rest}" if scheme in ("postgres", "postgresql") else url


class Database:
    """A bounded pool; `run` is the only way in."""

    def __init__(self, settings: CatalogSettings) -> None:
        self._seconds = settings.timeout_seconds
        self._engine: Engine = create_engine(
            driver_url(settings.url.get_secret_value()),
            pool_size=settings.pool_size,
            max_overflow=0,
            pool_timeout=settings.timeout_seconds,
            pool_recycle=CONNECTION_LIFE_SECONDS,
            hide_parameters=True,
            json_serializer=lambda value: msgspec.json.encode(value).decode(),
            json_deserializer=read_stored_json,
            connect_args={
                "connect_timeout": max(2, int(settings.timeout_seconds)),
                "prepare_threshold": None,
                "application_name": "rta",
            },
        )
        self._threads = ThreadPoolExecutor(settings.pool_size, "postgres")
        self._running: set[_Transaction] = set()

    async def run(self, work: Callable[[Connection], T], *, seconds: float | None = None) -> T:
        """Run `work` in a thread, in one transaction; raises Unavailable. Broken constraints pass as IntegrityError."""
        transaction = _Transaction(self._engine, work, self._seconds if seconds is None else seconds)
        self._running.add(transaction)
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
        except (DBAPIError, PoolTimeout, OSError) as error:
            raise Unavailable("postgres", _sentence(error)) from error
        finally:
            self._running.discard(transaction)

    async def check(self) -> None:
        """Raise Unavailable where PostgreSQL does not answer, or has not been migrated."""
        await self.run(_probe)

    async def close(self) -> None:
        for transaction in self._running:
            transaction.abandon()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._engine.dispose()


class _Transaction:
    """`work` in a transaction, that can be abandoned from outside."""

    def __init__(self, engine: Engine, work: Callable[[Connection], Any], seconds: float) -> None:
        self.seconds = seconds
        self._engine, self._work = engine, work
        self._abandoned = self._is_committing = False
        self._connection: Any = None

    def run(self) -> Any:
        for attempt in range(1, ATTEMPTS_MAX):
            try:
                return self._attempt()
            except DBAPIError as error:
                if self._abandoned or not self._is_worth_another(error, attempt):
                    raise
            time.sleep(random.uniform(0, 0.01 * attempt))  # noqa: S311  # so that two do not meet again
        return self._attempt()

    def _attempt(self) -> Any:
        self._is_committing = False
        try:
            with self._engine.begin() as connection:
                self._connection = connection.connection.driver_connection
                if self._abandoned:
                    raise OSError("abandoned")
                limit = {"ms": str(int(self.seconds * 1000))}
                connection.execute(text("SELECT set_config('statement_timeout', :ms, true)"), limit)
                result = self._work(connection)
                self._is_committing = True
            return result
        finally:
            # Not before the end of COMMIT: a server that hangs there is woken from as well.
            self._connection = None

    def _is_worth_another(self, error: DBAPIError, attempt: int) -> bool:
        """A server that was restarted is tried once more: the whole pool is renewed at the first such error.

        Not where it went away during COMMIT: nobody knows whether that was done, and the caller must hear of it.
        """
        if error.connection_invalidated:
            return attempt == 1 and not self._is_committing
        return getattr(error.orig, "sqlstate", None) in ASKED_AGAIN

    def abandon(self) -> None:
        """Wake the thread from its wait for a server that hangs."""
        self._abandoned = True
        connection = self._connection
        with contextlib.suppress(OSError, AttributeError):
            connected = socket.socket(fileno=connection.fileno())
            try:
                connected.shutdown(socket.SHUT_RDWR)
            finally:
                connected.detach()


def _probe(connection: Connection) -> None:
    connection.execute(text("SELECT 1 FROM projects LIMIT 1"))


def _sentence(error: Exception) -> str:
    """The first line of the driver's own words: never the statement or its parameters."""
    words = str(getattr(error, "orig", None) or error).strip()
    return words.splitlines()[0][:200] if words else type(error).__name__
