"""Properties of the catalog on the real PostgreSQL: CRUD against a dictionary, and walks while others write."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from rtaplatform.catalog.entities.merge_patch import merge
from rtaplatform.local.servers.postgres import Postgres
from tests.integration.catalog_site import Site, open_site
from tests.integration.servers import Running

IDS = st.sampled_from(["a", "b", "c/d", "ü"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text("aé€😀", max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["k", "l", "m"]), inner, max_size=3),
    max_leaves=6,
)
FREE = st.dictionaries(st.sampled_from(["k", "l", "m"]), JSON, max_size=3)
BODY = st.fixed_dictionaries(
    {},
    optional={
        "name": st.none() | st.text("abÄ ", max_size=5),
        "price": st.none() | st.integers(0, 10**9).map(lambda number: number / 10_000),
        "attributes": st.none() | FREE,
        "status": st.sampled_from([None, "draft", "archived"]),
    },
)
STEP = st.tuples(st.sampled_from(["POST", "PUT", "PATCH", "DELETE", "GET", "IMPORT"]), IDS, BODY, st.booleans())
DEFAULTS: dict[str, Any] = {
    "name": None, "category": None, "brand": None, "price": None, "currency": None, "image_url": None, "attributes": {},
    "status": "active",
}  # fmt: skip
ROWS, WALKS = 400, 12


class Model:
    """What the products should be: a dictionary of the fields, and the last ETag of each."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.tags: dict[str, str] = {}

    def expect(self, method: str, id: str, body: dict[str, Any], *, is_stale: bool) -> int:
        """Take the step in; the status that it should have."""
        row = self.rows.get(id)
        if method == "POST":
            if row is not None:
                return 409
            self.rows[id] = _fill_defaults(DEFAULTS, body)
            return 201
        if is_stale and (method == "PUT" or row is not None) and method != "GET":
            return 412
        if method == "PUT":
            self.rows[id] = _fill_defaults(DEFAULTS, body)
            return 200 if row is not None else 201
        if row is None:
            return 404
        if method == "PATCH":
            self.rows[id] = _patch_row(row, body)
        elif method == "DELETE":
            del self.rows[id]
            return 204
        return 200

    def bring_in(self, id: str, body: dict[str, Any]) -> str:
        row = self.rows.get(id)
        self.rows[id] = _fill_defaults(DEFAULTS, body) if row is None else _patch_row(row, body)
        return "created" if row is None else "updated"


def _fill_defaults(start: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    return {name: default if body.get(name) is None else body[name] for name, default in start.items()}


def _patch_row(row: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    plain = {name: DEFAULTS[name] if value is None else value for name, value in body.items() if name != "attributes"}
    if body.get("attributes"):
        plain["attributes"] = merge(row["attributes"], body["attributes"])
    elif "attributes" in body:
        plain["attributes"] = {} if body["attributes"] is None else row["attributes"]
    return {**row, **plain}


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    new_loop = asyncio.new_event_loop()
    yield new_loop
    new_loop.close()


@pytest.fixture(scope="module")
def site(postgres_server: Running[Postgres], loop: asyncio.AbstractEventLoop) -> Iterator[Site]:
    opened = open_site(postgres_server.server)
    yield loop.run_until_complete(opened.__aenter__())
    loop.run_until_complete(opened.__aexit__(None, None, None))


@given(steps=st.lists(STEP, max_size=25))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_products_are_what_a_dictionary_would_be(
    site: Site, loop: asyncio.AbstractEventLoop, steps: list[tuple[str, str, dict[str, Any], bool]]
) -> None:
    loop.run_until_complete(_take(site, steps))


async def _take(site: Site, steps: list[tuple[str, str, dict[str, Any], bool]]) -> None:
    await site.database.run(lambda connection: connection.execute(text("DELETE FROM products")))
    model = Model()
    async with site.make_client() as client:
        for method, id, body, is_stale in steps:
            if method == "IMPORT":
                report = (await _send(client, "POST", "/v1/products/import", {"id": id, **body}, None)).json()
                outcome = model.bring_in(id, body)
                assert (report["failed"], report["created"]) == (0, int(outcome == "created")), (report, body)
                continue
            path = "/v1/products" if method == "POST" else f"/v1/products/{id.replace('/', '%2F')}"
            sent = {"id": id, **body} if method == "POST" else body
            answer = await _send(client, method, path, sent, '"no such version"' if is_stale else None)
            assert answer.status_code == model.expect(method, id, body, is_stale=is_stale), (method, id, answer.text)
        listed = (await client.get("/v1/products?sort=id")).json()["items"]
    assert {item["id"]: {name: item[name] for name in DEFAULTS} for item in listed} == model.rows


async def _send(
    client: httpx.AsyncClient, method: str, path: str, body: dict[str, Any], condition: str | None
) -> httpx.Response:
    headers = {} if condition is None else {"If-Match": condition}
    if path.endswith("/import"):
        headers["Content-Type"] = "application/x-ndjson"
    has_body = method in ("POST", "PUT", "PATCH")
    return await client.request(method, path, json=body if has_body else None, headers=headers)


@pytest.mark.parametrize(
    "sort", ["-created_at", "created_at", "-updated_at", "updated_at", "name", "-name", "id", "-id"]
)
def test_a_walk_meets_every_older_row_once(site: Site, loop: asyncio.AbstractEventLoop, sort: str) -> None:
    """While others insert before, between and behind, and delete rows of their own."""
    loop.run_until_complete(_walk_while_others_write(site, sort))


async def _walk_while_others_write(site: Site, sort: str) -> None:
    await site.database.run(lambda connection: connection.execute(text("DELETE FROM users")))
    chance = random.Random(sort)
    async with site.make_client() as client:
        # Few transactions and few names, so that most rows share their sort value.
        for start in range(0, ROWS, 100):
            await _insert(client, [f"old-{number}" for number in range(start, start + 100)], chance)
        is_done = asyncio.Event()
        writers = [asyncio.create_task(_write_others(client, number, is_done)) for number in range(3)]
        for _ in range(WALKS):
            ids = await _walk(client, sort, chance)
            old = [id for id in ids if id.startswith("old-")]
            assert sorted(old) == sorted(f"old-{number}" for number in range(ROWS))
            assert len(set(ids)) == len(ids)
        is_done.set()
        await asyncio.gather(*writers)


async def _insert(client: httpx.AsyncClient, ids: list[str], chance: random.Random) -> None:
    rows = [{"id": id, "name": chance.choice([None, "", "a", "B", "ä"])} for id in ids]
    body = b"\n".join(httpx.Request("POST", "http://x", json=row).content for row in rows)
    answer = await client.post("/v1/users/import", content=body, headers={"Content-Type": "application/x-ndjson"})
    assert answer.json()["created"] == len(ids)


async def _write_others(client: httpx.AsyncClient, writer: int, is_done: asyncio.Event) -> None:
    chance, number = random.Random(writer), 0
    while not is_done.is_set():
        number += 1
        id = f"{chance.choice('anz')}-{writer}-{number}"
        await client.post("/v1/users", json={"id": id, "name": chance.choice(["", "a", "B", "ä", "zz"])})
        if chance.random() < 0.5:
            await client.delete(f"/v1/users/{id}")


async def _walk(client: httpx.AsyncClient, sort: str, chance: random.Random) -> list[str]:
    ids: list[str] = []
    cursor: str | None = None
    while True:
        more = {"cursor": cursor} if cursor else {}
        parameters = {"sort": sort, "limit": str(chance.choice([1, 7, 50, 500])), **more}
        page = (await client.get("/v1/users", params=parameters)).json()
        ids += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            return ids
