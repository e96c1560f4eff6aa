"""The catalog over HTTP on the real PostgreSQL: the contract's answers, and what must hold when many come at once."""

from __future__ import annotations

import asyncio
import csv
import io
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from rtaplatform.catalog import migrate
from rtaplatform.local.servers.postgres import Postgres
from rtaplatform.profiles.erasure import PersonErasure as RealErasure
from rtaplatform.profiles.erasure_receipt import PersonToErase
from tests.integration.catalog_site import KEYS, Site, read_problem
from tests.integration.servers import Running

ODD_IDS = [
    "a/b",
    "..x",
    "ä ö",
    "%2F",
    "a?b#c",
    "日本",
    "x" * 256,
    "+",
    "a%00b",
    "...",
    "Import",
    "'; DROP TABLE users",
    "a\\b",
    "%",
]
NDJSON, CSV = {"Content-Type": "application/x-ndjson"}, {"Content-Type": "text/csv; charset=utf-8"}


async def test_life_of_a_product(client: httpx.AsyncClient) -> None:
    body = {"id": "p-1", "name": "Boot", "price": 12.5, "currency": "EUR", "attributes": {"color": "red", "size": 42}}
    creation = await client.post("/v1/products", json=body)
    assert (creation.status_code, creation.headers["location"]) == (201, "/v1/products/p-1")
    assert list(creation.json()) == [
        "id", "name", "category", "brand", "price", "currency", "image_url", "attributes", "status", "created_at",
        "updated_at",
    ]  # fmt: skip
    assert (creation.json()["price"], creation.json()["status"], creation.json()["category"]) == (12.5, "active", None)
    assert read_problem(await client.post("/v1/products", json=body)) == (409, "conflict")
    read = await client.get("/v1/products/p-1")
    assert (read.json(), read.headers["etag"]) == (creation.json(), creation.headers["etag"])
    patch = {"attributes": {"color": None, "width": {"cm": 3}}, "name": None}
    changed = await client.patch("/v1/products/p-1", json=patch, headers={"If-Match": read.headers["etag"]})
    assert changed.json()["attributes"] == {"size": 42, "width": {"cm": 3}}
    assert (changed.json()["name"], changed.json()["price"]) == (None, 12.5)
    assert changed.headers["etag"] != read.headers["etag"]
    stale = await client.patch("/v1/products/p-1", json={}, headers={"If-Match": read.headers["etag"]})
    assert read_problem(stale) == (412, "precondition-failed")
    replaced = await client.put("/v1/products/p-1", json={"brand": "Calzo"})
    assert (replaced.status_code, replaced.json()["attributes"], replaced.json()["price"]) == (200, {}, None)
    assert (await client.delete("/v1/products/p-1")).status_code == 204
    assert read_problem(await client.get("/v1/products/p-1")) == (404, "not-found")
    assert read_problem(await client.delete("/v1/products/p-1")) == (404, "not-found")
    assert (await client.put("/v1/products/p-1", json={})).status_code == 201


async def test_what_changes_nothing_keeps_its_etag(client: httpx.AsyncClient) -> None:
    body = {"name": "Boot", "price": 1.5, "attributes": {"a": 1}}
    first = await client.put("/v1/products/p", json=body)
    again = await client.put("/v1/products/p", json=body)
    patched = await client.patch("/v1/products/p", json={"attributes": {"a": 1}, "name": "Boot"})
    assert first.headers["etag"] == again.headers["etag"] == patched.headers["etag"]
    other = await client.patch("/v1/products/p", json={"attributes": {"a": True}})
    assert (other.headers["etag"] == first.headers["etag"], other.json()["attributes"]) == (False, {"a": True})


@pytest.mark.parametrize("things", ["users", "products"])
async def test_any_id_that_is_legal_finds_its_own(client: httpx.AsyncClient, things: str) -> None:
    for id in ODD_IDS:
        path = f"/v1/{things}/{quote(id, safe='')}"
        creation = await client.post(f"/v1/{things}", json={"id": id, "name": id[:100]})
        assert (creation.status_code, creation.headers["location"]) == (201, path)
        assert (await client.get(path)).json()["id"] == id
        assert (await client.patch(path, json={"name": "x"})).json()["name"] == "x"
    listed = [item["id"] for item in (await client.get(f"/v1/{things}?sort=id")).json()["items"]]
    assert listed == sorted(ODD_IDS, key=str.encode)
    for id in ODD_IDS:
        assert (await client.delete(f"/v1/{things}/{quote(id, safe='')}")).status_code == 204


async def test_wrong_fields_are_named(client: httpx.AsyncClient) -> None:
    for body, field in [
        ({"id": "p", "is_admin": True}, "is_admin"), ({"id": "p", "created_at": "2026-01-01T00:00:00Z"}, "created_at"),
        ({"id": "p", "price": -1}, "price"), ({"id": "p", "price": "1"}, "price"),
        ({"id": "p", "price": True}, "price"), ({"id": ""}, "id"), ({}, "id"),
        ({"id": "p", "currency": "euro"}, "currency"), ({"id": "p", "image_url": "javascript:alert(1)"}, "image_url"),
        ({"id": "p", "status": "gone"}, "status"), ({"id": "p", "name": "a\x00"}, "name"),
        ({"id": "p", "name": "x" * 501}, "name"), ({"id": "é" * 129}, "id"), ({"id": "popular"}, "id"),
        ({"id": "."}, "id"), ({"id": ".."}, "id"), ({"id": "a\tb"}, "id"), ({"id": "\x7f"}, "id"),
        ({"id": "p", "attributes": []}, "attributes"), ({"id": "p", "attributes": {"a": "x" * 40_000}}, "attributes"),
        ({"id": "p", "attributes": {"a\x00": 1}}, "attributes"), ({"id": True}, "id"),
    ]:  # fmt: skip
        answer = await client.post("/v1/products", json=body)
        assert (answer.status_code, answer.json()["field"]) == (422, field), body
        assert answer.json()["allowed"], body
    assert (await client.get("/v1/products")).json()["items"] == []
    for id in ("popular", "trending", "import", "export", "%2E", "%2E%2E", "%69mport", "a%09b"):
        assert (await client.put(f"/v1/products/{id}", json={})).status_code in (405, 422), id
    for id in ("import", "export", "%2E", "%2E%2E", "%69mport"):
        assert (await client.put(f"/v1/users/{id}", json={})).status_code in (405, 422), id
    assert read_problem(await client.post("/v1/products", content=b"{")) == (400, "unreadable-body")
    assert (await client.post("/v1/products", content=b"")).json()["detail"] == "The body is empty."
    deep = b'{"id":"p","attributes":' + b'{"a":' * 5_000 + b"1" + b"}" * 5_001
    assert (await client.post("/v1/products", content=deep)).status_code in (400, 422)
    assert (await client.post("/v1/products", content=b'"' + b"x" * 300_000 + b'"')).status_code == 400
    patched = await client.patch("/v1/products/p", json={}, headers={"Content-Type": "application/json-patch+json"})
    assert read_problem(patched) == (415, "unsupported-type")


async def test_a_number_is_an_id_as_in_events(client: httpx.AsyncClient) -> None:
    for written in ("5", "4006381333931.0", "1e3"):
        creation = await client.post("/v1/products", content=f'{{"id":{written}}}')
        assert (creation.status_code, creation.json()["id"]) == (201, written)
        again = await client.put(f"/v1/products/{written}", content=f'{{"id":{written},"name":"x"}}')
        assert (again.status_code, again.json()["name"]) == (200, "x")


async def test_an_id_is_decoded_once_whatever_the_path_looks_like(client: httpx.AsyncClient) -> None:
    await client.post("/v1/users", json={"id": "a%2Fb"})
    for path in ("/v1/users/a%252Fb", "/v1/%75sers/a%252Fb", "/v1/users/%61%252Fb"):
        assert (await client.get(path)).json()["id"] == "a%2Fb"
    assert (await client.get("/v1/users/a%2Fb")).status_code == 404
    assert (await client.get("/v1%2Fusers/a%252Fb")).status_code == 404


async def test_conditions_of_a_cache_and_of_who_creates(client: httpx.AsyncClient) -> None:
    creation = await client.put("/v1/products/p", json={"name": "x"}, headers={"If-None-Match": "*"})
    assert creation.status_code == 201
    again = await client.put("/v1/products/p", json={"name": "y"}, headers={"If-None-Match": "*"})
    assert (read_problem(again), again.json()["field"]) == ((412, "precondition-failed"), "If-None-Match")
    tag = creation.headers["etag"]
    for etags in (tag, f"W/{tag}", f'"a", {tag}', "*"):
        read = await client.get("/v1/products/p", headers={"If-None-Match": etags})
        assert (read.status_code, read.content, read.headers["etag"]) == (304, b"", tag)
    assert (await client.get("/v1/products/p", headers={"If-None-Match": '"a"'})).status_code == 200
    weak = await client.patch("/v1/products/p", json={"name": "z"}, headers={"If-Match": f"W/{tag}"})
    assert (weak.status_code, weak.json()["name"]) == (200, "z")
    project = await client.get("/v1/projects/prj_demo")
    unchanged = await client.get("/v1/projects/prj_demo", headers={"If-None-Match": project.headers["etag"]})
    assert unchanged.status_code == 304


async def test_large_numbers_come_back_short(client: httpx.AsyncClient) -> None:
    creation = await client.post(
        "/v1/products", content=b'{"id":"p","attributes":{"a":1e308,"b":18446744073709551615}}'
    )
    assert creation.status_code == 201
    assert b'"a":1e308,"b":18446744073709551615' in (await client.get("/v1/products/p")).content


async def test_lists_filter_search_and_refuse(client: httpx.AsyncClient) -> None:
    for number in range(12):
        body = {"id": f"p-{number}", "name": f"Boot {number}", "category": "Shoes" if number % 2 else "Bags"}
        await client.post("/v1/products", json=body)
    await client.post("/v1/products", json={"id": "x", "name": "100%_off\\", "status": "draft"})

    async def ids(query: str) -> list[str]:
        answer = await client.get(f"/v1/products?{query}")
        assert answer.status_code == 200, answer.text
        return [item["id"] for item in answer.json()["items"]]

    assert await ids("limit=3") == ["x", "p-11", "p-10"]
    assert await ids("category=Shoes&sort=created_at") == [f"p-{number}" for number in range(1, 12, 2)]
    assert await ids("q=bOOT+1&sort=name") == ["p-1", "p-10", "p-11"]
    assert await ids("q=p-1&sort=id") == ["p-1", "p-10", "p-11"]
    assert await ids("q=100%25_") == ["x"]
    assert await ids("q=100__") == []
    assert await ids("status=draft") == ["x"]
    assert await ids("brand=none") == []
    for query, field in [
        ("limit=0", "limit"), ("limit=501", "limit"), ("limit=x", "limit"), ("sort=price", "sort"), ("page=2", "page"),
        ("cursor=%00", "cursor"), ("cursor=AAAA", "cursor"), ("email=x", "email"), ("status=gone", "status"),
        ("q=%00", "q"),
    ]:  # fmt: skip
        answer = await client.get(f"/v1/products?{query}")
        assert (answer.status_code, answer.json()["field"]) == (422, field), query
    cursor = (await client.get("/v1/products?limit=3")).json()["next_cursor"]
    assert (await client.get(f"/v1/products?limit=9&cursor={cursor}")).status_code == 200
    assert (await client.get(f"/v1/products?sort=name&cursor={cursor}")).status_code == 422
    assert (await client.get(f"/v1/products?q=b&cursor={cursor}")).status_code == 422
    for path in ("users", "keys", "erasures", "dead-letters"):
        answer = await client.get(f"/v1/{path}?cursor={cursor}")
        assert (answer.status_code, answer.json()["field"]) == (422, "cursor"), path


async def test_lists_are_tables_and_link_to_the_next_page(client: httpx.AsyncClient) -> None:
    for number in range(3):
        await client.post("/v1/products", json={"id": f"p-{number}", "name": "=1+1", "attributes": {"a": "x,y"}})
    rows, address = [], "/v1/products?limit=2&format=csv"
    while address:
        page = await client.get(address)
        assert page.headers["content-type"].startswith("text/csv"), page.text
        rows += list(csv.DictReader(io.StringIO(page.text, newline="")))
        address = page.links.get("next", {}).get("url", "")
    assert [row["id"] for row in rows] == ["p-2", "p-1", "p-0"]
    assert {row["name"] for row in rows} == {"'=1+1"}
    assert {row["attributes"] for row in rows} == {'{"a":"x,y"}'}
    for path in ("/v1/users", "/v1/keys", "/v1/projects"):
        page = await client.get(path, headers={"Accept": "text/csv"})
        assert page.text.startswith("id,"), path


async def test_users_by_email_and_erasing(site: Site, client: httpx.AsyncClient) -> None:
    body = {"id": "u-1", "email": "Ada@Example.com", "name": "Ada", "anonymous_ids": ["a", "b", "a"],
            "first_seen": "2026-01-01T01:00:00+01:00"}  # fmt: skip
    user = (await client.post("/v1/users", json=body)).json()
    assert (user["anonymous_ids"], user["first_seen"], user["last_seen"]) == (["a", "b"], "2026-01-01T00:00:00Z", None)
    assert "field_times" not in user
    for query in ("email=ada@example.COM", "q=ada@", "q=AD", "q=u-"):
        assert [item["id"] for item in (await client.get(f"/v1/users?{query}")).json()["items"]] == ["u-1"]
    assert (await client.delete("/v1/users/u-1?erase=maybe")).status_code == 422
    erased = await client.delete("/v1/users/u-1?erase=true")
    assert (erased.status_code, erased.json()) == (200, {"user_id": "u-1"})
    assert site.erasure.requests == [PersonToErase("demo", "prj_demo", "u-1")]
    assert (await client.delete("/v1/products/u-1?erase=true")).status_code == 422


async def test_erasures_are_asked_for_and_listed(site: Site, client: httpx.AsyncClient) -> None:
    def nothing_kept() -> dict[str, tuple[int, int]]:
        return {}

    erasure = RealErasure(site.database, lambda *_: None, lambda *_: {"online": 1}, nothing_kept)
    object.__setattr__(site.app.state["parts"].catalog, "erasure", erasure)
    receipts = []
    for body in ({"user_id": "u-1"}, {"anonymous_ids": ["a", "b"]}, {"user_id": 5, "anonymous_ids": ["c"]}):
        answer = await client.post("/v1/erasures", json=body)
        assert answer.status_code == 200, answer.text
        receipts.append(answer.json())
    assert [receipt["user_id"] for receipt in receipts] == ["u-1", None, "5"]
    assert (await client.delete("/v1/users/u-1?erase=true")).json() == receipts[0]
    assert (await client.delete("/v1/users/never-seen?erase=true")).json()["removed"]["profile"] == 0
    missing = await client.delete("/v1/users/nobody?erase=true", headers={"If-Match": '"1"'})
    assert read_problem(missing) == (412, "precondition-failed")
    page = (await client.get("/v1/erasures?limit=3&sort=created_at")).json()
    assert page["items"] == receipts
    last_page = (await client.get(f"/v1/erasures?limit=3&sort=created_at&cursor={page['next_cursor']}")).json()
    assert ([receipt["user_id"] for receipt in last_page["items"]], last_page["next_cursor"]) == (["never-seen"], None)
    assert [receipt["id"] for receipt in (await client.get("/v1/erasures?user_id=5")).json()["items"]] == [
        receipts[2]["id"]
    ]
    wrong: list[tuple[Any, str | None]] = [
        ({}, "user_id"), ({"anonymous_ids": []}, "user_id"), ({"user_id": ""}, "user_id"), ({"user": "x"}, "user"),
        ({"anonymous_ids": "a"}, "anonymous_ids"), ({"anonymous_ids": ["a\x00"]}, "anonymous_ids"), ([], "body"),
    ]  # fmt: skip
    for body, field in wrong:
        refused = await client.post("/v1/erasures", json=body)
        assert (refused.status_code, refused.json()["field"]) == (422, field), body
    assert read_problem(await client.get("/v1/erasures?sort=name")) == (422, "invalid-parameter")


async def test_parallel_patches_lose_nothing(client: httpx.AsyncClient) -> None:
    """Each of 20 adds 1 five times, by read and conditional patch; and 20 patch a key of their own, unconditionally."""
    await client.post("/v1/products", json={"id": "p", "attributes": {"n": 0}})

    async def add() -> None:
        for _ in range(5):
            status = 412
            while status == 412:
                read = await client.get("/v1/products/p")
                body = {"attributes": {"n": read.json()["attributes"]["n"] + 1}}
                condition = {"If-Match": read.headers["etag"]}
                status = (await client.patch("/v1/products/p", json=body, headers=condition)).status_code
            assert status == 200

    async def mark(number: int) -> None:
        assert (await client.patch("/v1/products/p", json={"attributes": {f"k{number}": 1}})).status_code == 200

    await asyncio.gather(*(add() for _ in range(20)), *(mark(number) for number in range(20)))
    attributes = (await client.get("/v1/products/p")).json()["attributes"]
    assert attributes == {"n": 100, **{f"k{number}": 1 for number in range(20)}}


async def test_only_one_of_many_creates(client: httpx.AsyncClient) -> None:
    posts = await asyncio.gather(*(client.post("/v1/users", json={"id": "u"}) for _ in range(20)))
    assert sorted(answer.status_code for answer in posts) == [201] + [409] * 19
    puts = await asyncio.gather(*(client.put("/v1/users/v", json={"name": str(n)}) for n in range(20)))
    assert sorted(answer.status_code for answer in puts) == [200] * 19 + [201]


async def test_projects_are_made_with_their_keys_and_published(site: Site, client: httpx.AsyncClient) -> None:
    creation = await client.post("/v1/projects", json={"slug": "shop", "zone": "Asia/Tokyo", "currency": "JPY"})
    assert (creation.status_code, site.published) == (201, 1)
    project, keys = creation.json()["project"], creation.json()["keys"]
    assert (project["slug"], project["zone"], project["name"]) == ("shop", "Asia/Tokyo", "shop")
    assert list(keys) == ["write_key", "read_key", "admin_key"]
    assert read_problem(await client.post("/v1/projects", json={"slug": "shop"})) == (409, "conflict")
    async with site.make_client(keys["admin_key"]) as own:
        path = f"/v1/projects/{project['id']}"
        assert (await own.get(path)).json() == project
        renamed = await own.patch(path, json={"name": "Shop", "settings": {"a": {"b": 1}}, "zone": "Asia/Tokyo"})
        assert (renamed.status_code, renamed.json()["settings"]) == (200, {"a": {"b": 1}})
        declared = await own.patch(path, json={"event_properties": ["plan", "coupon", "plan"]})
        assert declared.json()["event_properties"] == ["plan", "coupon"]
        assert site.published == 3
        for field, value in (("zone", "UTC"), ("slug", "x"), ("currency", "EUR"), ("id", "prj_x")):
            assert (await own.patch(path, json={field: value})).json()["field"] == field
    for body in (
        {"slug": "Shop"},
        {"slug": "-x"},
        {"slug": "x", "zone": "Mars/Olympus"},
        {"slug": "x", "currency": "ZZZ"},
        {"slug": "x", "event_properties": ["a.b"]},
    ):
        assert (await client.post("/v1/projects", json=body)).status_code == 422


async def test_life_of_a_key(site: Site, client: httpx.AsyncClient) -> None:
    new_key = (await client.post("/v1/keys", json={"name": "k", "scopes": ["catalog:read"]})).json()
    for scopes in (["root"], [], ["read", "*"], "read"):
        assert (await client.post("/v1/keys", json={"name": "k", "scopes": scopes})).json()["field"] == "scopes"
    path = f"/v1/keys/{new_key['id']}"
    assert new_key["key"] not in (await client.get(path)).text + (await client.get("/v1/keys")).text
    assert (await client.patch(path, json={"scopes": ["admin"]})).status_code == 422
    rotated = (await client.post(f"{path}/rotate", json={"grace_seconds": 3600})).json()
    assert (rotated["scopes"], rotated["name"]) == (["catalog:read"], "k")
    for key in (new_key["key"], rotated["key"]):
        async with site.make_client(key) as own:
            assert (await own.get("/v1/products")).status_code == 200
    assert (await client.delete(path)).status_code == 204
    assert (await client.get(path)).status_code == 404
    assert new_key["id"] not in (await client.get("/v1/keys")).text
    assert new_key["id"] in (await client.get("/v1/keys?revoked=include")).text
    assert (await client.post(f"/v1/keys/{rotated['id']}/rotate", json={"grace_seconds": 0})).status_code == 201
    assert read_problem(await client.post(f"/v1/keys/{rotated['id']}/rotate", json={})) == (409, "conflict")
    assert KEYS.admin not in (await client.get("/v1/keys?revoked=include")).text


async def test_the_revision_goes_down_and_up_on_data(
    client: httpx.AsyncClient, postgres_server: Running[Postgres]
) -> None:
    url = postgres_server.server.owner_url
    await client.put("/v1/products/p", json={"name": "Boot", "price": 1.25, "attributes": {"a": 1}})
    await client.put("/v1/users/u", json={"email": "a@example.com", "traits": {"plan": "free"}})
    before = [(await client.get(path)).json() for path in ("/v1/products/p", "/v1/users/u")]
    await asyncio.to_thread(migrate.downgrade, url, "0001")
    await asyncio.to_thread(migrate.upgrade, url)
    after = [await client.get(path) for path in ("/v1/products/p", "/v1/users/u")]
    assert [answer.json() for answer in after] == before
    changed = await client.patch("/v1/products/p", json={"price": 2}, headers={"If-Match": after[0].headers["etag"]})
    assert (changed.status_code, changed.headers["etag"] != after[0].headers["etag"]) == (200, True)


async def test_without_postgres_the_catalog_answers_503_and_recovers(
    site: Site, client: httpx.AsyncClient, postgres_server: Running[Postgres]
) -> None:
    await client.put("/v1/products/p", json={"name": "x"})
    postgres_server.kill()
    try:
        for answer in (await client.get("/v1/products/p"), await client.patch("/v1/products/p", json={"name": "y"})):
            assert read_problem(answer) == (503, "unavailable")
            assert int(answer.headers["retry-after"]) >= 1
    finally:
        postgres_server.start()
    assert (await client.get("/v1/products/p")).json()["name"] == "x"


async def test_migrating_while_reading_shows_no_error(
    client: httpx.AsyncClient, postgres_server: Running[Postgres]
) -> None:
    """Triggers are taken away and put back, with locks of whole tables, while clients read and write."""
    await client.put("/v1/products/p", json={"name": "x"})
    url = postgres_server.server.owner_url
    statuses, is_done = set[int](), asyncio.Event()

    async def read() -> None:
        while not is_done.is_set():
            statuses.add((await client.get("/v1/products/p")).status_code)
            statuses.add((await client.patch("/v1/products/p", json={"price": len(statuses)})).status_code)

    readers = [asyncio.create_task(read()) for _ in range(4)]
    for _ in range(5):
        await asyncio.to_thread(migrate.downgrade, url, "0002")
        await asyncio.to_thread(migrate.upgrade, url)
    is_done.set()
    await asyncio.gather(*readers)
    assert statuses == {200}
