"""What the API is made of: ports, put together by `wiring.py`, handed to every route as `app.state.parts`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

from litestar.connection import ASGIConnection

from rtaplatform.catalog.keys import Access
from rtaplatform.collect.collector import Collector
from rtaplatform.serve.health import Health
from rtaplatform.settings import ApiSettings, CollectSettings


class Keys(Protocol):
    """`catalog.keys.KeyRing`, or a dictionary in tests."""

    async def find(self, key: str) -> Access | None:
        """What a key opens, None where nothing; raises Unavailable."""
        ...


@dataclass(frozen=True)
class Parts:
    """`engine` and `hub` are the analytics' (serve/metrics.py, serve/live.py say what they ask of them)."""

    keys: Keys
    collector: Collector
    health: Health
    settings: ApiSettings = field(default_factory=ApiSettings)
    collect: CollectSettings = field(default_factory=CollectSettings)
    products: Any = None
    engine: Any = None
    hub: Any = None
    # Entered when the server starts, on its event loop; left after the last request.
    lifespan: Callable[[], AbstractAsyncContextManager[Any]] = nullcontext


FindAccess = Callable[[ASGIConnection[Any, Any, Any, Any], Parts], Awaitable[Access | None]]


def parts_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Parts:
    parts: Parts = connection.app.state["parts"]
    return parts
