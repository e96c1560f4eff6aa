"""CORS over HTTP: who may send, who may ask, what a preflight is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import httpx
import pytest
from litestar import Litestar

from rtaplatform.catalog.keys.key_rows import KeyAccess
from rtaplatform.collect.body.draft import CollectedRecord
from rtaplatform.collect.collector import Collector
from rtaplatform.serve.http.cors import CorsOrigins
from rtaplatform.serve.http.dependencies import Dependencies
from rtaplatform.serve.http.health import Health
from tests.unit.serve.parts_of_tests import Site
from tests.unit.serve.shared_routes import share_routes

SHOP, EVIL = "https://shop.example", "https://evil.example"
EVENT = {"event": "Seen", "anonymousId": "a-1"}
ALLOWED, CREDENTIALS = "access-control-allow-origin", "access-control-allow-credentials"


class Keys:
    """`listed` and `free` collect and read: of a project that lists its origins, and of one that does not."""

    async def find(self, key: str) -> KeyAccess | None:
        if key not in ("listed", "free"):
            return None
        return KeyAccess(key, f"prj_{key}", frozenset({"collect", "read"}), f"key_{key}")

    async def find_hashed(self, hashed: bytes) -> KeyAccess | None:
        raise NotImplementedError

    async def find_from(self, address: str, key: str, *, may_guess: bool) -> KeyAccess | None:
        return await self.find(key)


class Log:
    async def append(self, records: Sequence[CollectedRecord]) -> None:
        return None


@pytest.fixture(scope="module")
def app() -> Litestar:
    """Of all tests: what is asked changes nothing in it."""
    origins = CorsOrigins({"listed": [SHOP, "https://*.shop.example", "null"], "free": []})
    parts = Dependencies(
        keys=Keys(), collector=Collector(Log()), health=Health({}), origins=origins, questions=Site().services
    )
    return share_routes(parts)


@pytest.fixture
async def client(app: Litestar) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)  # type: ignore[arg-type]  # Litestar's own types
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as new_client:
        yield new_client


def make_headers(origin: str | None, key: str | None = None) -> dict[str, str]:
    return {**({"Origin": origin} if origin else {}), **({"Authorization": f"Bearer {key}"} if key else {})}


@pytest.mark.parametrize("origin", [SHOP, "https://a.shop.example", "null"])
async def test_listed_origins_may_send(client: httpx.AsyncClient, origin: str) -> None:
    answer = await client.post("/v1/track", json=EVENT, headers=make_headers(origin, "listed"))
    assert answer.status_code == 200
    assert (answer.headers[ALLOWED], answer.headers[CREDENTIALS]) == (origin, "true")
    assert "Origin" in answer.headers["vary"]


@pytest.mark.parametrize("path", ["/v1/track", "/v1/batch", "/v1/t", "/beacon/v1/batch"])
async def test_other_origins_may_not(client: httpx.AsyncClient, path: str) -> None:
    for named in (make_headers(EVIL, "listed"), make_headers(EVIL)):
        body = {**EVENT, "writeKey": "listed", "batch": [{**EVENT, "type": "track"}]}
        answer = await client.post(path, json=body, headers=named)
        assert (answer.status_code, answer.json()["field"]) == (403, "Origin")
        assert [name for name in answer.headers if name.startswith("access-control")] == []


async def test_requests_without_an_origin_ignore_the_list(client: httpx.AsyncClient) -> None:
    assert (await client.post("/v1/track", json=EVENT, headers=make_headers(None, "listed"))).status_code == 200


async def test_without_a_list_every_origin_may_send(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/track", json=EVENT, headers=make_headers(EVIL, "free"))
    assert (answer.status_code, answer.headers[ALLOWED], answer.headers[CREDENTIALS]) == (200, EVIL, "true")


async def test_errors_of_collecting_can_be_read_by_the_page(client: httpx.AsyncClient) -> None:
    for answer in (
        await client.post("/v1/track", content=b"{", headers=make_headers(EVIL, "free")),
        await client.post("/v1/track", json=EVENT, headers=make_headers(EVIL)),
        await client.get("/v1/track", headers=make_headers(EVIL)),
    ):
        assert answer.status_code in (400, 401, 405)
        assert (answer.headers[ALLOWED], answer.headers[CREDENTIALS]) == (EVIL, "true")


@pytest.mark.parametrize("path", ["/v1/metrics", "/v1/metrics/events", "/v1/query", "/v1/live", "/v1/live/tickets"])
async def test_a_preflight_of_a_query_is_for_listed_origins(client: httpx.AsyncClient, path: str) -> None:
    request_headers = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    answer = await client.options(path, headers={**make_headers(SHOP), **request_headers})
    assert (answer.status_code, answer.headers[ALLOWED]) == (204, SHOP)
    assert answer.headers["access-control-allow-headers"] == "authorization"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert CREDENTIALS not in answer.headers
    refused = await client.options(path, headers={**make_headers(EVIL), **request_headers})
    assert [name for name in refused.headers if name.startswith("access-control")] == []


@pytest.mark.parametrize(
    ("origin", "key", "allowed"), [(SHOP, "listed", SHOP), (EVIL, "listed", None), (SHOP, "free", None)]
)
async def test_a_response_allows_the_origins_of_its_project(
    client: httpx.AsyncClient, origin: str, key: str, allowed: str | None
) -> None:
    answer = await client.get("/v1/metrics", headers=make_headers(origin, key))
    assert answer.status_code == 200
    assert answer.headers.get(ALLOWED) == allowed
    assert answer.headers["vary"] == "Origin"


async def test_an_error_before_the_key_is_known_can_be_read_where_some_project_lists_the_origin(
    client: httpx.AsyncClient,
) -> None:
    assert (await client.get("/v1/metrics", headers=make_headers(SHOP))).headers[ALLOWED] == SHOP
    assert ALLOWED not in (await client.get("/v1/metrics", headers=make_headers(EVIL))).headers


@pytest.mark.parametrize("path", ["/v1/products", "/health/live", "/v1/metricsx", "/v1/liver"])
async def test_other_routes_have_no_cors(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path, headers=make_headers(SHOP, "listed"))
    assert ALLOWED not in answer.headers


async def test_head_answers_where_get_does(client: httpx.AsyncClient) -> None:
    for path in ("/health/live", "/v1/metrics", "/openapi.json"):
        body_reply, head = (
            await client.get(path, headers=make_headers(None, "free")),
            await client.head(path, headers=make_headers(None, "free")),
        )
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == body_reply.headers["content-length"]
    assert (await client.head("/v1/track")).status_code == 405


@pytest.mark.parametrize("path", ["/health%2Flive", "//health/live", "/v1//metrics", "/health%2flive"])
async def test_escaped_or_doubled_slashes_match_no_route(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(httpx.URL(scheme="http", host="test", raw_path=path.encode()))
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


async def test_the_server_names_no_version(client: httpx.AsyncClient) -> None:
    assert (await client.get("/health/live")).headers["server"] == "rta"
