"""Who may do what: every operation of the OpenAPI document with every kind of key that does not open it.

Denied with the right status, in words that are the same whether the thing exists or not.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import httpx
import pytest
from sqlalchemy import text

from rtaplatform.catalog.keys.key_format import ADMIN, CATALOG_READ, CATALOG_WRITE, COLLECT, READ, SCOPES
from rtaplatform.local.servers.postgres import Postgres
from rtaplatform.serve.openapi.document import make_document
from tests.integration.catalog_site import KEYS, Site, open_site
from tests.integration.servers import Running

EXISTING, MISSING = "there", "not-there"
METHODS = ("get", "post", "put", "patch", "delete")
# A body that every route can read; what is wrong with it must not be looked at before the key.
BODY = {"id": EXISTING, "batch": [], "queries": [], "name": "x", "slug": "x", "scopes": ["read"]}
EVERY_SCOPE = {COLLECT, READ, CATALOG_READ, CATALOG_WRITE, ADMIN}


class Operation(NamedTuple):
    """One operation of the document, with the scope that it asks for."""

    method: str
    path: str
    scope: str

    def make_url(self, id: str) -> str:
        return re.sub(r"\{\w+\}", id, self.path)


@pytest.fixture
async def site(postgres_server: Running[Postgres]) -> AsyncIterator[Site]:
    async with open_site(postgres_server.server) as new_site:
        async with new_site.make_client() as client:
            for things in ("users", "products"):
                assert (await client.post(f"/v1/{things}", json={"id": EXISTING})).status_code == 201
        yield new_site


def list_operations(site: Site) -> list[Operation]:
    """All that need a key."""
    return [
        Operation(method.upper(), path, operation["x-scope"])
        for path, item in make_document(site.app)["paths"].items()
        for method, operation in item.items()
        if method in METHODS and "x-scope" in operation
    ]


async def make_key(site: Site, scopes: list[str]) -> tuple[str, str]:
    async with site.make_client() as client:
        new_key = (await client.post("/v1/keys", json={"name": "a", "scopes": scopes})).json()
    return new_key["id"], new_key["key"]


async def make_bad_keys(site: Site) -> dict[str, str | None]:
    """Keys that open nothing, by what is wrong with them; None stands for no header."""
    expired_id, expired = await make_key(site, list(SCOPES))
    revoked_id, revoked = await make_key(site, list(SCOPES))
    async with site.make_client() as client:
        past = {"expires_at": "2020-01-01T00:00:00Z"}
        assert (await client.patch(f"/v1/keys/{expired_id}", json=past)).status_code == 200
        assert (await client.delete(f"/v1/keys/{revoked_id}")).status_code == 204
    return {
        "none": None, "empty": "Bearer ", "malformed": "Bearer \x7f", "unknown": f"Bearer {KEYS.admin}x",
        "no scheme": KEYS.admin, "basic": "Basic %%", "other scheme": f"Digest {KEYS.admin}",
        "long": "Bearer " + "x" * 9_999, "expired": f"Bearer {expired}", "revoked": f"Bearer {revoked}",
    }  # fmt: skip


async def ask(client: httpx.AsyncClient, operation: Operation, id: str, authorization: str | None) -> httpx.Response:
    headers = {} if authorization is None else {"Authorization": authorization}
    return await client.request(operation.method, operation.make_url(id), json=BODY, headers=headers)


def read_problem(answer: httpx.Response) -> tuple[int, dict[str, Any]]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()


async def test_keys_that_are_none_open_nothing(site: Site) -> None:
    every, wrong = list_operations(site), await make_bad_keys(site)
    assert len(every) > 35
    async with site.make_client(None) as client:
        for operation in every:
            for name, authorization in wrong.items():
                there = read_problem(await ask(client, operation, EXISTING, authorization))
                assert there[0] == 401, (operation, name, there)
                assert there == read_problem(await ask(client, operation, MISSING, authorization)), (operation, name)


async def test_a_key_without_the_scope_opens_nothing(site: Site) -> None:
    keys = {scope: (await make_key(site, [scope]))[1] for scope in SCOPES}
    denied = 0
    async with site.make_client(None) as client:
        for operation in list_operations(site):
            for scope in EVERY_SCOPE - {operation.scope}:
                there = read_problem(await ask(client, operation, EXISTING, f"Bearer {keys[scope]}"))
                assert there[0] == 403, (operation, scope, there)
                assert there == read_problem(await ask(client, operation, MISSING, f"Bearer {keys[scope]}"))
                denied += 1
    assert denied > 140


async def test_another_projects_things_do_not_exist(site: Site) -> None:
    """BOLA: an admin key of project B asks for what project A has, and hears what it hears of nothing at all."""
    async with site.make_client() as client:
        project = (await client.post("/v1/projects", json={"slug": "other"})).json()
        own_key = (await client.get("/v1/keys")).json()["items"][0]["id"]
        own_project = (await client.get("/v1/projects")).json()["items"][0]["id"]
    ids = {"users": EXISTING, "products": EXISTING, "keys": own_key, "projects": own_project}
    before = await read_all_rows(site)
    async with site.make_client(project["keys"]["admin_key"]) as other:
        for operation in list_operations(site):
            match = re.match(r"/v1/(users|products|keys|projects)/\{", operation.path)
            if match is None or operation.method == "PUT":  # PUT would make one of its own
                continue
            if operation.path.endswith("/metrics"):  # of the id in its own events, whatever the catalog has
                continue
            url = [operation.make_url(ids[match[1]]), operation.make_url(MISSING)]
            body = {} if operation.path.endswith("/rotate") else {"name": "stolen"}
            answers = [read_problem(await other.request(operation.method, address, json=body)) for address in url]
            assert answers[0][0] == 404, (operation, answers)
            assert answers[0] == answers[1], operation
        for things in ("users", "products"):
            assert (await other.get(f"/v1/{things}")).json() == {"items": [], "next_cursor": None}
            assert (await other.put(f"/v1/{things}/{EXISTING}", json={"name": "theirs"})).status_code == 201
        assert [item["slug"] for item in (await other.get("/v1/projects")).json()["items"]] == ["other"]
        assert own_key not in (await other.get("/v1/keys?revoked=include")).text
    assert await read_all_rows(site) == before


async def read_all_rows(site: Site) -> list[str]:
    """All rows of the first project, but for when its keys were used."""
    project_of = {"users": "project_id", "products": "project_id", "keys": "project_id", "projects": "id"}
    statements = [
        f"SELECT (to_jsonb(t) - 'last_used_at')::text FROM {table} t WHERE {column} = 'prj_demo' ORDER BY 1"
        for table, column in project_of.items()
    ]
    return await site.database.run(
        lambda connection: [row for statement in statements for row in connection.scalars(text(statement))]
    )


async def test_the_right_key_is_let_through(site: Site) -> None:
    """So that the others are not refused by chance."""
    async with site.make_client() as client:
        for operation in list_operations(site):
            if operation.path.startswith(("/v1/users", "/v1/products/{", "/v1/keys", "/v1/projects")):
                answer = await client.request(operation.method, operation.make_url(MISSING), json={})
                assert answer.status_code not in (401, 403), operation
