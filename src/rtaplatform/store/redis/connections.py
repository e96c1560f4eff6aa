"""Connections to Redis or Valkey that are renewed every few seconds, with a new look-up of the server's name.

The pain: after a fail-over the name, or a relay, leads to the new primary. An old connection stays with the demoted
server, which refuses writes or answers with old data, until somebody closes the connection.
A connection is renewed only between two commands, so no command is sent twice.

A second pain is uvloop's: a write to a connection that is closed already raises RuntimeError, and redis-py lets it
pass. Nobody takes that for an outage. So it becomes the ConnectionError that it is.
"""

from __future__ import annotations

import time
from typing import Any

import redis
import redis.asyncio as aioredis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

_CLOSED_ON_UVLOOP = "the handler is closed"


class _Age:
    """The age of a connection."""

    seconds_max = 0.0
    _made_at: float | None = None

    def _is_old(self) -> bool:
        return self._made_at is not None and time.monotonic() - self._made_at >= self.seconds_max

    def _note_made(self) -> None:
        if self._made_at is None:
            self._made_at = time.monotonic()


class _Renewed(_Age):
    """Mixed into a connection class of redis-py: its pool calls `connect` whenever it hands the connection out."""

    def connect(self) -> None:
        if self._is_old():
            self.disconnect()
        super().connect()  # type: ignore[misc]  # defined by the class it is mixed into
        self._note_made()

    def disconnect(self, *args: Any, **kwargs: Any) -> None:
        self._made_at = None
        super().disconnect(*args, **kwargs)  # type: ignore[misc]  # as above


class _ReportedWhenClosed:
    """Mixed into an asynchronous class: a write to a closed connection raises ConnectionError on each event loop."""

    async def send_packed_command(self, *args: Any, **kwargs: Any) -> None:
        try:
            await super().send_packed_command(*args, **kwargs)  # type: ignore[misc]  # as above
        except RuntimeError as error:
            if _CLOSED_ON_UVLOOP not in str(error):
                raise
            raise redis.ConnectionError("The connection was closed.") from error


class _AsyncRenewed(_Age, _ReportedWhenClosed):
    """The same as `_Renewed` for the asynchronous classes."""

    async def connect(self) -> None:
        if self._is_old():
            await self.disconnect()
        await super().connect()  # type: ignore[misc]  # as above
        self._note_made()

    async def disconnect(self, *args: Any, **kwargs: Any) -> None:
        self._made_at = None
        await super().disconnect(*args, **kwargs)  # type: ignore[misc]  # as above


def connect(url: str, timeout_seconds: float, seconds_max: float) -> redis.Redis:
    """Make a client whose connections live for `seconds_max`. It opens nothing yet, and the library retries nothing."""
    client = redis.Redis.from_url(url, **_make_options(timeout_seconds), retry=Retry(NoBackoff(), 0))
    _mix(client.connection_pool, _Renewed, {"seconds_max": seconds_max})
    return client


def connect_async(url: str, timeout_seconds: float, seconds_max: float) -> aioredis.Redis:
    """Make the same for asyncio."""
    return aioredis.Redis.from_pool(make_async_pool(url, timeout_seconds, seconds_max))


def make_async_pool(url: str, timeout_seconds: float, seconds_max: float) -> aioredis.ConnectionPool:
    """Make the pool for a client that is made elsewhere."""
    pool = aioredis.ConnectionPool.from_url(url, **_make_options(timeout_seconds), retry=AsyncRetry(NoBackoff(), 0))
    _mix(pool, _AsyncRenewed, {"seconds_max": seconds_max})
    return pool


def connect_subscriber(url: str, timeout_seconds: float) -> aioredis.Redis:
    """Make a client for subscriptions. The subscriber renews its connections itself, since that may lose messages."""
    client = aioredis.Redis.from_url(url, **_make_options(timeout_seconds), retry=AsyncRetry(NoBackoff(), 0))
    _mix(client.connection_pool, _ReportedWhenClosed, {})
    return client


def _make_options(timeout_seconds: float) -> dict[str, Any]:
    return {
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        "socket_keepalive": True,
        "protocol": 2,
    }


def _mix(pool: Any, mixin: type, attributes: dict[str, Any]) -> None:
    """Mix `mixin` into the pool's connection class (plain, TLS or socket file)."""
    original = pool.connection_class
    pool.connection_class = type(f"{mixin.__name__[1:]}{original.__name__}", (mixin, original), attributes)
