"""What has changed in the catalog, as PostgreSQL tells it: LISTEN on a connection of our own.

Triggers send one small JSON text a change (migration 0003). Promise: after every (re)connection the caller is told
that it may have missed something; `is_up` only while notifications really arrive. A text that a second connection
sends proves that: a pooler in transaction mode takes LISTEN and delivers nothing, but for what the very connection
sends that listens. Runs until cancelled, through any absence.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from contextlib import AsyncExitStack, aclosing

import msgspec
import psycopg
from msgspec import Struct

from rtaplatform import telemetry
from rtaplatform.catalog.keys.key_cache import KeyCache
from rtaplatform.catalog.products.product_tables import ProductTables
from rtaplatform.settings import CatalogSettings

CHANNEL = "rta_catalog"
ECHO_SECONDS = 10.0
RETRY_SECONDS = 1.0
DEAF_SECONDS = 60.0  # until LISTEN is tried again where nothing arrives


class CatalogChange(Struct, frozen=True):
    """`kind` is products, keys or projects. `ids` None: too many to name."""

    kind: str
    project_id: str = ""
    ids: list[str] | None = None


class CatalogChanges:
    """Hands on what PostgreSQL tells: to the keys, to the products, and (an event) to whoever publishes projects."""

    def __init__(self, keys: KeyCache, products: ProductTables) -> None:
        self._keys, self._products, self.of_projects = keys, products, asyncio.Event()

    def change(self, change: CatalogChange) -> None:
        match change.kind:
            case "products":
                self._products.change(change.project_id, change.ids)
            case "keys":
                self._keys.change(change.ids)
            case "projects":
                self._keys.change_project(change.project_id)
                self._products.change(change.project_id, None)
                self.of_projects.set()

    def listen(self, is_up: bool) -> None:
        """Notifications arrive from here on, or do so no more; in between anything may have changed."""
        telemetry.CATALOG_LISTENING.set(is_up)
        self._products.is_listening = is_up
        if is_up:
            self._keys.change(None)
            self._products.reload()
            self.of_projects.set()


class _Deaf(Exception):
    """What is sent on the channel does not arrive: there is a pooler between."""


class CatalogListener:
    def __init__(
        self, settings: CatalogSettings, *, changed: Callable[[CatalogChange], None], state: Callable[[bool], None]
    ) -> None:
        """`state` is called with True once changes arrive (some may have been missed), with False when they end."""
        scheme, _, rest = settings.url.get_secret_value().partition("://")
        self._url = f"{scheme.partition('+')[0]}://{rest}"
        self._seconds, self._changed, self._state = settings.timeout_seconds, changed, state
        self._token, self._heard = f"echo {secrets.token_hex(8)}", False

    async def run(self) -> None:
        while True:
            pause = RETRY_SECONDS
            try:
                await self._listen()
            except _Deaf:
                pause = DEAF_SECONDS
            except (psycopg.Error, OSError, TimeoutError):
                pass
            finally:
                self._state(False)
            await asyncio.sleep(pause)

    async def _listen(self) -> None:
        async with AsyncExitStack() as open_ones:
            listening = await self._connect(open_ones)
            speaking = await self._connect(open_ones)
            await self._execute(listening, f"LISTEN {CHANNEL}")
            is_up = False
            while True:
                self._heard = False
                await self._execute(speaking, "SELECT pg_notify(%s, %s)", CHANNEL, self._token)
                await self._take(listening, ECHO_SECONDS if is_up else self._seconds, until_heard=not is_up)
                if not self._heard:
                    raise TimeoutError if is_up else _Deaf
                if not is_up:
                    is_up = True
                    self._state(True)

    async def _connect(self, open_ones: AsyncExitStack) -> psycopg.AsyncConnection:
        async with asyncio.timeout(self._seconds + 2):
            connection = await psycopg.AsyncConnection.connect(
                self._url, autocommit=True, connect_timeout=max(2, int(self._seconds)), prepare_threshold=None,
                application_name="rta-listener",
            )  # fmt: skip
        # `close` asks the server nothing: one that hangs holds nobody up.
        open_ones.push_async_callback(connection.close)
        return connection

    async def _take(self, connection: psycopg.AsyncConnection, seconds: float, *, until_heard: bool) -> None:
        async with aclosing(connection.notifies(timeout=seconds)) as notes:
            async for note in notes:
                if note.payload == self._token:
                    self._heard = True
                    if until_heard:
                        return
                elif (change := read_change(note.payload)) is not None:
                    self._changed(change)

    async def _execute(self, connection: psycopg.AsyncConnection, statement: str, *values: str) -> None:
        async with asyncio.timeout(self._seconds):
            await connection.execute(statement.encode(), values or None)


def read_change(payload: str) -> CatalogChange | None:
    """None for what is not ours: anyone with a connection may send on the channel."""
    try:
        return msgspec.json.decode(payload, type=CatalogChange)
    except msgspec.MsgspecError:
        return None
