"""Notifications of changes in the catalog: LISTEN on a dedicated connection to PostgreSQL.

Triggers send one small JSON text per change (migration 0003). After every (re)connection the caller is told that it may
have missed changes. It is told that the listener is up only while notifications really arrive: a second connection
sends a text that must come back. (A pooler in transaction mode accepts LISTEN, but delivers only what the listening
connection itself sends.) Runs until cancelled, however long PostgreSQL is away.
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
DEAF_SECONDS = 60.0  # until LISTEN is tried again if nothing arrives


class CatalogChange(Struct, frozen=True):
    """`kind` is products, keys or projects. `ids` is None if there are too many to name."""

    kind: str
    project_id: str = ""
    ids: list[str] | None = None


class CatalogChanges:
    """Passes changes on to the caches of keys and products. `projects_changed` wakes the publisher of projects."""

    def __init__(self, keys: KeyCache, products: ProductTables) -> None:
        self._keys, self._products, self.projects_changed = keys, products, asyncio.Event()

    def note_change(self, change: CatalogChange) -> None:
        match change.kind:
            case "products":
                self._products.note_change(change.project_id, change.ids)
            case "keys":
                self._keys.note_change(change.ids)
            case "projects":
                self._keys.note_project_change(change.project_id)
                self._products.note_change(change.project_id, None)
                self.projects_changed.set()

    def set_listening(self, is_up: bool) -> None:
        """Notifications arrive from now on, or no longer. When they begin, anything may have changed before."""
        telemetry.CATALOG_LISTENING.set(is_up)
        self._products.is_listening = is_up
        if is_up:
            self._keys.note_change(None)
            self._products.reload()
            self.projects_changed.set()


class _Deaf(Exception):
    """A text sent on the channel does not arrive: there is a pooler in between."""


class CatalogListener:
    def __init__(
        self, settings: CatalogSettings, *, on_change: Callable[[CatalogChange], None], on_state: Callable[[bool], None]
    ) -> None:
        """`on_state` is called with True once changes arrive (some may have been missed), with False when they end."""
        scheme, _, location = settings.url.get_secret_value().partition("://")
        self._url = f"{scheme.partition('+')[0]}://{location}"
        self._seconds, self._on_change, self._on_state = settings.timeout_seconds, on_change, on_state
        self._token, self._has_heard = f"echo {secrets.token_hex(8)}", False

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
                self._on_state(False)
            await asyncio.sleep(pause)

    async def _listen(self) -> None:
        async with AsyncExitStack() as connections:
            receiver = await self._connect(connections)
            sender = await self._connect(connections)
            await self._execute(receiver, f"LISTEN {CHANNEL}")
            is_up = False
            while True:
                self._has_heard = False
                await self._execute(sender, "SELECT pg_notify(%s, %s)", CHANNEL, self._token)
                await self._receive(receiver, ECHO_SECONDS if is_up else self._seconds, until_heard=not is_up)
                if not self._has_heard:
                    raise TimeoutError if is_up else _Deaf
                if not is_up:
                    is_up = True
                    self._on_state(True)

    async def _connect(self, connections: AsyncExitStack) -> psycopg.AsyncConnection:
        async with asyncio.timeout(self._seconds + 2):
            connection = await psycopg.AsyncConnection.connect(
                self._url, autocommit=True, connect_timeout=max(2, int(self._seconds)), prepare_threshold=None,
                application_name="rta-listener",
            )  # fmt: skip
        # `close` does not wait for the server, which may hang.
        connections.push_async_callback(connection.close)
        return connection

    async def _receive(self, connection: psycopg.AsyncConnection, seconds: float, *, until_heard: bool) -> None:
        async with aclosing(connection.notifies(timeout=seconds)) as notifications:
            async for notification in notifications:
                if notification.payload == self._token:
                    self._has_heard = True
                    if until_heard:
                        return
                elif (change := read_change(notification.payload)) is not None:
                    self._on_change(change)

    async def _execute(self, connection: psycopg.AsyncConnection, statement: str, *values: str) -> None:
        async with asyncio.timeout(self._seconds):
            await connection.execute(statement.encode(), values or None)


def read_change(payload: str) -> CatalogChange | None:
    """None for a payload that is not ours: any connection may send on the channel."""
    try:
        return msgspec.json.decode(payload, type=CatalogChange)
    except msgspec.MsgspecError:
        return None
