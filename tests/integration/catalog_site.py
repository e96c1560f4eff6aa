"""The API's catalog over the real PostgreSQL, in this process: two projects, their keys, and what was published."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx
from litestar import Litestar
from pydantic import SecretStr

from rtaplatform.catalog.database import Database
from rtaplatform.catalog.demo_project import SeededDemoKeys, seed_demo
from rtaplatform.catalog.keys.key_cache import KeyCache
from rtaplatform.local.servers.postgres import Postgres
from rtaplatform.profiles.erasure_receipt import PersonToErase
from rtaplatform.serve.app import create_app
from rtaplatform.serve.http.dependencies import CatalogServices, Dependencies
from rtaplatform.serve.http.health import Health
from rtaplatform.settings import ApiSettings, CatalogSettings
from tests.integration.servers import empty_catalog

KEYS = SeededDemoKeys(write="rta_w_site", read="rta_r_site", admin="rta_a_site")
ROOT = "http://site.test"


class Erasure:
    """Erases nobody, but remembers who was to be."""

    def __init__(self) -> None:
        self.requests: list[PersonToErase] = []

    async def erase(self, person: PersonToErase, condition: Any = None) -> dict[str, Any]:
        self.requests.append(person)
        return {"user_id": person.user_id}


class Site:
    """The application and what stands behind it."""

    def __init__(self, url: str, **more: Any) -> None:
        self.settings = CatalogSettings(url=SecretStr(url), timeout_seconds=5.0)
        self.database, self.erasure, self.published = Database(self.settings), Erasure(), 0
        self.keys = KeyCache(self.database, self.settings)
        parts = Dependencies(
            keys=self.keys, collector=cast(Any, None), health=Health({}),
            catalog=CatalogServices(self.database, self.erasure, self._publish),
            settings=ApiSettings(import_bytes_max=64_000_000, import_lines_max=5_000), **more,
        )  # fmt: skip
        self.app: Litestar = create_app(parts)

    async def _publish(self) -> None:
        self.published += 1

    def make_client(self, key: str | None = KEYS.admin) -> httpx.AsyncClient:
        """A client with a key, or without."""
        transport = httpx.ASGITransport(app=cast(Any, self.app), raise_app_exceptions=False)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx.AsyncClient(transport=transport, base_url=ROOT, headers=headers, timeout=60)


def read_problem(answer: httpx.Response) -> tuple[int, str]:
    """The status of a problem, and its word."""
    return answer.status_code, answer.json()["code"]


async def wait_until(holds: Callable[[], bool] | Callable[[], Awaitable[bool]], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while True:
        answer = holds()
        if (answer if isinstance(answer, bool) else await answer) is True:
            return
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


@asynccontextmanager
async def open_site(postgres: Postgres, url: str | None = None, **more: Any) -> AsyncIterator[Site]:
    """A site with the demo project and its keys. `url`: another way to the same database."""
    await asyncio.to_thread(empty_catalog, postgres)
    site = Site(url or postgres.url, **more)
    try:
        await seed_demo(site.database, KEYS, users=[], products=[])
        yield site
    finally:
        await site.database.close()
