"""Behind PgBouncer in transaction mode: everything works, and what it swallows is not taken for granted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from rtaplatform import telemetry
from rtaplatform.catalog.change_notifications import CatalogChange, CatalogChanges, CatalogListener
from rtaplatform.catalog.keys.key_cache import KeyCache
from rtaplatform.catalog.products.product_tables import LISTENING_SECONDS, STALE_SECONDS, ProductTables
from rtaplatform.local.servers.postgres import Postgres
from rtaplatform.settings import CatalogSettings
from tests.integration.catalog_site import Site, open_site, wait_until
from tests.integration.pooler import running_pooler
from tests.integration.servers import Running


@pytest.fixture
async def site(postgres_server: Running[Postgres], tmp_path: Path) -> AsyncIterator[Site]:
    """Its tables are made directly; all else goes through the pooler."""
    with running_pooler(postgres_server.server.url, tmp_path) as url:
        async with open_site(postgres_server.server, url) as new_site:
            yield new_site


async def listen(site: Site, changes: list[CatalogChange], states: list[bool]) -> asyncio.Task[None]:
    listener = CatalogListener(site.settings, on_change=changes.append, on_state=states.append)
    return asyncio.create_task(listener.run())


async def test_the_catalog_works_through_a_pooler(site: Site) -> None:
    async with site.make_client() as client:

        async def change(number: int) -> int:
            path = f"/v1/products/p-{number % 7}"
            return (await client.put(path, json={"name": str(number), "attributes": {"n": number}})).status_code

        assert set(await asyncio.gather(*(change(number) for number in range(60)))) == {200, 201}
        body = "".join(f'{{"id":"i-{number}"}}\n' for number in range(1_500))
        report = await client.post(
            "/v1/products/import", content=body, headers={"Content-Type": "application/x-ndjson"}
        )
        assert report.json()["created"] == 1_500
        assert len(await walk(client)) == 1_507
    await site.database.check()


async def walk(client: httpx.AsyncClient) -> list[str]:
    ids, cursor = list[str](), ""
    while True:
        page = (await client.get(f"/v1/products?limit=500{cursor}")).json()
        ids += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            return ids
        cursor = f"&cursor={page['next_cursor']}"


async def test_notifications_that_a_pooler_swallows_are_not_counted_on(site: Site) -> None:
    """LISTEN succeeds, and the very connection hears itself: only what another one sends proves anything."""
    states, changes = list[bool](), list[CatalogChange]()
    task = await listen(site, changes, states)
    async with site.make_client() as client:
        while not states:
            assert (await client.put("/v1/products/p", json={"name": str(len(changes))})).status_code in (200, 201)
            await asyncio.sleep(0.1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert True not in states


async def test_notifications_that_arrive_are(postgres_server: Running[Postgres], site: Site) -> None:
    settings = CatalogSettings(url=SecretStr(postgres_server.server.url), timeout_seconds=2.0)
    states, changes = list[bool](), list[CatalogChange]()
    task = asyncio.create_task(CatalogListener(settings, on_change=changes.append, on_state=states.append).run())
    async with site.make_client() as client:
        await wait_until(lambda: True in states)
        assert (await client.put("/v1/products/p", json={})).status_code == 201
        await wait_until(lambda: bool(changes))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert changes[0].ids == ["p"]


async def test_changes_show_within_half_a_minute_without_notifications(site: Site) -> None:
    now = [0.0]
    products = ProductTables(site.database, now=lambda: now[0])
    news = CatalogChanges(KeyCache(site.database, site.settings), products)
    news.set_listening(False)
    assert telemetry.CATALOG_LISTENING._value.get() == 0
    async with site.make_client() as client:
        await client.put("/v1/products/p", json={"name": "before"})
        assert (await products.find_table("demo")).by_id["p"].name == "before"
        await client.put("/v1/products/p", json={"name": "after"})
    now[0] = 30.0
    assert STALE_SECONDS < now[0] < LISTENING_SECONDS

    async def is_new() -> bool:
        return (await products.find_table("demo")).by_id["p"].name == "after"

    await wait_until(is_new)
    await products.close()
