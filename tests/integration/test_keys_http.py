"""Keys and projects over HTTP on the real PostgreSQL: what their makers may do, and how often."""

from __future__ import annotations

import asyncio

import httpx

from rtaplatform.local.servers.postgres import Postgres
from rtaplatform.serve.http.limits import RateLimits
from rtaplatform.settings import LimitSettings
from tests.integration.catalog_site import Site, open_site, read_problem, wait_until
from tests.integration.servers import Running


async def test_nobody_makes_a_key_that_opens_more_than_their_own(site: Site, client: httpx.AsyncClient) -> None:
    small = (await client.post("/v1/keys", json={"name": "s", "scopes": ["admin", "read"]})).json()
    full = (await client.post("/v1/keys", json={"name": "f", "scopes": ["catalog:write"]})).json()
    async with site.make_client(small["key"]) as own:
        refused = await own.post("/v1/keys", json={"name": "x", "scopes": ["read", "catalog:write"]})
        assert (read_problem(refused), refused.json()["field"]) == ((403, "forbidden"), "scopes")
        assert "catalog:write" in refused.json()["detail"]
        assert (await own.post("/v1/keys", json={"name": "x", "scopes": ["read"]})).status_code == 201
        # A rotation would hand out the new key.
        assert read_problem(await own.post(f"/v1/keys/{full['id']}/rotate", json={})) == (403, "forbidden")


async def test_a_new_key_has_its_end_before_it(client: httpx.AsyncClient) -> None:
    body = {"name": "k", "scopes": ["read"], "expires_at": "2020-01-01T00:00:00Z"}
    refused = await client.post("/v1/keys", json=body)
    assert (read_problem(refused), refused.json()["field"]) == ((422, "invalid-parameter"), "expires_at")


async def test_a_project_keeps_a_key_that_makes_others(site: Site, client: httpx.AsyncClient) -> None:
    project = (await client.post("/v1/projects", json={"slug": "lonely"})).json()
    async with site.make_client(project["keys"]["admin_key"]) as own:
        (only,) = [key for key in (await own.get("/v1/keys")).json()["items"] if "admin" in key["scopes"]]
        path, past = f"/v1/keys/{only['id']}", {"expires_at": "2020-01-01T00:00:00Z"}
        for refused in (await own.delete(path), await own.patch(path, json=past)):
            assert read_problem(refused) == (409, "conflict")
            assert "Make another one first" in refused.json()["hint"]
        second = (await own.post("/v1/keys", json={"name": "b", "scopes": ["admin"]})).json()
        async with site.make_client(second["key"]) as other:
            ended = await asyncio.gather(own.delete(f"/v1/keys/{second['id']}"), other.delete(path))

            async def is_one_left() -> bool:
                still = [(await holder.get("/v1/keys")).status_code for holder in (own, other)]
                return sorted(still) == [200, 401]

            # A key that was being looked up while it was revoked is served once more, and looked up again meanwhile.
            await wait_until(is_one_left)
        # One is too late: it has lost its own key meanwhile, or would end the last one.
        assert sorted(answer.status_code for answer in ended)[0] == 204
        assert {answer.status_code for answer in ended} <= {204, 401, 409}


async def test_projects_are_made_and_changed_so_often_and_no_more(postgres_server: Running[Postgres]) -> None:
    limits = RateLimits(LimitSettings(projects_per_hour=3, project_changes_per_hour=2, keys_per_project_max=4))
    async with open_site(postgres_server.server, limits=limits) as site, site.make_client() as client:
        # A slug that is taken costs as well: nobody tries out which there are.
        creations = [await client.post("/v1/projects", json={"slug": slug}) for slug in ("demo", "one", "two", "three")]
        assert [answer.status_code for answer in creations] == [409, 201, 201, 429]
        assert "projects made by this project's keys in an hour" in creations[3].json()["detail"]
        assert 0 < int(creations[3].headers["retry-after"]) <= 3_600
        async with site.make_client(creations[1].json()["keys"]["admin_key"]) as own:
            path = f"/v1/projects/{creations[1].json()['project']['id']}"
            changed = [(await own.patch(path, json={"name": f"n{number}"})).status_code for number in range(3)]
            assert changed == [200, 200, 429]
            body = {"name": "k", "scopes": ["read"]}
            assert [(await own.post("/v1/keys", json=body)).status_code for _ in range(2)] == [201, 409]
