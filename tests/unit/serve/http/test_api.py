"""The API without servers: who may do what, what errors look like, what the collecting routes take."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute

from rtaplatform.catalog.keys.key_format import SCOPES_BY_KIND
from rtaplatform.catalog.keys.key_rows import KeyAccess
from rtaplatform.collect.body.draft import CollectedRecord
from rtaplatform.collect.collector import Collector
from rtaplatform.collect.machine_clock import MachineClock
from rtaplatform.collect.producer import TimesRefused, Undelivered
from rtaplatform.core.errors import Unavailable
from rtaplatform.serve.http.dependencies import Dependencies
from rtaplatform.serve.http.health import Health
from rtaplatform.serve.http.problems import BY_SLUG
from tests.unit.serve.shared_routes import share_routes

MEMBERS = {"type", "title", "status", "detail", "field", "allowed", "hint", "code", "message"}
TRACK = {"event": "Signed Up", "anonymousId": "a-1"}
LIMIT = 4 * 1024 * 1024
DASHBOARD = {
    "/", "/overview", "/products", "/products/{id}", "/engagement", "/explore", "/feed", "/catalog", "/catalog/{rest}",
    "/settings", "/settings/{rest}", "/wall", "/assets/{name}",
}  # fmt: skip


class Keys:
    """`w`, `r` and `a`, of two projects; `gone` is a key while PostgreSQL is away."""

    async def find(self, key: str) -> KeyAccess | None:
        if key == "gone":
            raise Unavailable("postgres", "connection to 10.1.2.3 failed")
        kinds = {"w": "write", "r": "read", "a": "admin"}
        if key[:1] not in kinds or key[1:] not in ("", "2"):
            return None
        return KeyAccess(f"demo{key[1:]}", f"prj_{key}", frozenset(SCOPES_BY_KIND[kinds[key[0]]]), f"key_{key}")

    async def find_hashed(self, hashed: bytes) -> KeyAccess | None:
        raise NotImplementedError

    async def find_from(self, address: str, key: str, *, may_guess: bool) -> KeyAccess | None:
        return await self.find(key)


class Log:
    def __init__(self) -> None:
        self.records: list[CollectedRecord] = []
        self.away, self.is_ahead = False, False

    async def append(self, records: Sequence[CollectedRecord]) -> None:
        if self.away:
            raise Undelivered("All brokers are down", acknowledged=0, unknown=len(records))
        if self.is_ahead:
            raise TimesRefused("It is 3600 s ahead of Redis' clock.", acknowledged=0, unknown=len(records))
        self.records.extend(records)


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def app(log: Log) -> Litestar:
    return share_routes(Dependencies(keys=Keys(), collector=Collector(log), health=Health({})))


@pytest.fixture
async def client(app: Litestar) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)  # type: ignore[arg-type]  # Litestar's own types
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as new_client:
        yield new_client


def is_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    document: dict[str, Any] = answer.json()
    assert answer.status_code == status, document
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(document) >= MEMBERS
    assert (document["status"], document["code"]) == (status, code)
    assert document["type"] == f"/problems/{code}"
    assert document["message"] == document["detail"]
    return document


def list_routes(app: Litestar) -> list[tuple[str, str, Any]]:
    return [
        (method, route.path_format, handler)
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for method, (handler, _) in route.route_handler_map.items()
        if method != "OPTIONS"
    ]


def test_every_route_declares_its_scope(app: Litestar) -> None:
    assert len(list_routes(app)) > 15
    assert [path for _, path, handler in list_routes(app) if "scope" not in handler.opt] == []


async def test_routes_open_for_nobody_but_those_who_may(app: Litestar, client: httpx.AsyncClient) -> None:
    for method, path, handler in list_routes(app):
        scope, url = handler.opt["scope"], path.replace("{", "").replace("}", "")
        if scope is None:
            continue
        for headers in (
            {},
            {"Authorization": "Bearer nonsense"},
            {"Authorization": "Basic %%"},
            {"Authorization": "x"},
        ):
            is_problem(await client.request(method, url, headers=headers, json={"batch": []}), 401, "unauthorized")
        wrong = {"Authorization": "Bearer r" if scope == "collect" else "Bearer w"}
        document = is_problem(await client.request(method, url, headers=wrong, json={"batch": []}), 403, "forbidden")
        assert "demo" not in json.dumps(document)


def test_open_routes_are_the_ones_that_the_contract_names(app: Litestar) -> None:
    opened = {path for _, path, handler in list_routes(app) if handler.opt["scope"] is None}
    assert opened == {
        "/health/live", "/health/ready", "/metrics", "/openapi.json", "/docs", "/docs/openapi.json", "/docs/{path}",
        "/problems/{slug}", "/v1/projects/{write_key}/settings", "/rta.js", "/v1/session", *DASHBOARD,
        "/array/{token}/config", "/decide", "/flags", "/docs/try.js",
    }  # fmt: skip


def test_every_documented_path_is_a_route_and_every_route_is_documented(app: Litestar) -> None:
    documented = set(app.openapi_schema.to_schema()["paths"])
    pages = {"/docs", "/docs/openapi.json", "/docs/try.js", "/docs/{path}", *DASHBOARD}
    assert documented == {path for _, path, _ in list_routes(app)} - pages


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "unknown-route"),
        ("GET", "/v1", 404, "unknown-route"),
        ("GET", "/docs/nowhere", 404, "unknown-route"),
        ("GET", "/v1/track", 405, "method-not-allowed"),
        ("DELETE", "/health/live", 405, "method-not-allowed"),
        ("GET", "/problems/nothing", 404, "not-found"),
        ("GET", "/openapi.json?pretty=1", 422, "invalid-parameter"),
        ("POST", "/v1/track", 401, "unauthorized"),
    ],
)
async def test_every_error_is_a_problem_document(
    client: httpx.AsyncClient, method: str, path: str, status: int, code: str
) -> None:
    is_problem(await client.request(method, path, content=b"{}" if method == "POST" else None), status, code)


async def test_method_not_allowed_lists_the_allowed_methods(client: httpx.AsyncClient) -> None:
    answer = await client.put("/v1/track/")
    assert (answer.headers["allow"], answer.json()["detail"][:9]) == ("POST, OPTIONS", "The route")


async def test_internal_errors_show_no_details(app: Litestar, client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/metrics/orders", headers={"Authorization": "Bearer r"})  # there is no engine
    document = is_problem(answer, 500, "internal-error")
    assert "engine" not in json.dumps(document)
    assert "Traceback" not in json.dumps(document)


async def test_problems_have_pages_for_programs_and_for_people(client: httpx.AsyncClient) -> None:
    for slug, kind in BY_SLUG.items():
        assert (await client.get(f"/problems/{slug}")).json()["status"] == kind.status
        page = await client.get(f"/problems/{slug}", headers={"Accept": "text/html"})
        assert page.headers["content-type"].startswith("text/html")
        assert "script" not in page.text


async def test_docs_load_nothing_from_other_sites(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs")
    assert "/v1/batch" in page.text
    assert re.findall(r'<script[^>]*src="([^"]*)"', page.text) == ["/docs/try.js"]
    assert page.text.count("<script") == 1
    assert [place for place in re.findall(r'(?:src|href|action)="([^"]*)"', page.text) if place[:1] not in "/#"] == []
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'; style-src 'sha256-" in policy
    assert "script-src 'self'; connect-src 'self'; form-action 'none'" in policy
    script = await client.get("/docs/try.js")
    assert script.headers["content-type"].startswith("text/javascript")


async def test_security_headers_are_on_every_answer(client: httpx.AsyncClient) -> None:
    for path in ("/health/live", "/nowhere", "/docs", "/v1/metrics"):
        answer = await client.get(path)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "access-control-allow-origin" not in answer.headers


# Health ------------------------------------------------------------------------------------------------------------


async def test_ready_names_missing_servers_and_needs_postgres_only_once() -> None:
    away = {"postgres": True, "kafka": False}

    def check(name: str) -> Any:
        async def ask() -> None:
            if away[name]:
                raise Unavailable(name, "away")

        return ask

    def health() -> Health:
        return Health({name: check(name) for name in away})

    assert (await health().check_readiness())[0] is False
    away["postgres"] = False
    health_under_test = health()
    ready, detail = await health_under_test.check_readiness()
    assert (ready, detail["missing"]) == (True, [])
    away["postgres"], health_under_test._last_check = True, None
    ready, detail = await health_under_test.check_readiness()
    assert ready
    assert detail["servers"]["postgres"] == "postgres: away"
    away["kafka"], health_under_test._last_check = True, None
    ready, detail = await health_under_test.check_readiness()
    assert (ready, detail["missing"]) == (False, ["kafka"])


# Collecting --------------------------------------------------------------------------------------------------------

SINGLE = ["track", "page", "screen", "identify", "group", "alias", "t", "p", "s", "i", "g", "a"]


@pytest.mark.parametrize("path", [f"/v1/{name}{slash}" for name in SINGLE for slash in ("", "/")])
async def test_single_paths_name_the_type(client: httpx.AsyncClient, log: Log, path: str) -> None:
    answer = await client.post(path, json=TRACK, auth=("w", ""))
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    name = path.strip("/").split("/")[1]
    assert json.loads(log.records[0].value)["type"].startswith(name)
    assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("path", ["/v1/batch", "/v1/b", "/v1/import", "/v1/import/", "/beacon/v1/batch"])
async def test_batch_paths(client: httpx.AsyncClient, log: Log, path: str) -> None:
    body = {"batch": [{**TRACK, "type": "track"}, {"type": "track"}]}
    answer = await client.post(path, json=body, auth=("w", ""))
    assert (answer.status_code, answer.json()["accepted"], len(log.records)) == (200, 1, 1)


@pytest.mark.parametrize(
    ("header", "in_body", "query", "status", "project"),
    [
        ("Bearer w", None, None, 200, "demo"),
        ("Basic dzo=", None, None, 200, "demo"),
        ("Bearer a", None, None, 200, "demo"),
        (None, "w2", None, 200, "demo2"),
        (None, None, "w2", 200, "demo2"),
        (None, "w", "w2", 200, "demo"),
        ("Bearer w", "w2", None, 200, "demo"),
        ("Basic dzo=", "w2", None, 200, "demo"),
        ("Bearer somebody-elses-token", "w2", None, 200, "demo2"),
        ("Bearer somebody-elses-token", None, "w2", 200, "demo2"),
        ("Bearer somebody-elses-token", None, None, 401, None),
        ("Basic bm9ib2R5Og==", "w2", None, 401, None),
        (None, "nobody", "w", 401, None),
        (None, 5, None, 401, None),
        ("Bearer r", "w", None, 403, None),
        (None, "r", None, 403, None),
        ("Bearer gone", None, None, 503, None),
    ],
)
async def test_places_of_the_key(
    client: httpx.AsyncClient, log: Log, header: str | None, in_body: Any, query: str | None, status: int, project: Any
) -> None:
    event = {"type": "track", **TRACK}
    keyed = {} if in_body is None else {"writeKey": in_body}
    for path, body in (("/v1/track", {**event, **keyed}), ("/v1/batch", {"batch": [event], **keyed})):
        answer = await client.post(
            path,
            content=json.dumps(body),
            params={"writeKey": query} if query else None,
            headers={"Content-Type": "text/plain", **({"Authorization": header} if header else {})},
        )
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == "*"
    assert [record.key.split(b":")[0].decode() for record in log.records] == ([project] * 2 if project else [])


async def test_body_is_read_by_content_and_may_be_gzipped(client: httpx.AsyncClient, log: Log) -> None:
    body = json.dumps({"batch": [{**TRACK, "type": "track"}]}).encode()
    for kind in ("application/json", "text/plain", "application/x-www-form-urlencoded", ""):
        headers = {"Content-Type": kind, "Content-Encoding": "gzip"}
        members = gzip.compress(body[:20]) + gzip.compress(body[20:])
        answer = await client.post("/v1/batch", content=members, headers=headers, auth=("w", ""))
        assert answer.status_code == 200
    assert len(log.records) == 4


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (b"x", "br", 415),
        (b"x", "deflate", 415),
        (b"x", "gzip, gzip", 415),
        (b"not gzip", "gzip", 400),
        (gzip.compress(b'{"batch":[]}', mtime=0)[:-4], "gzip", 400),
        (b"", "gzip", 400),
        (b"", "", 400),
        (b'{"batch":[', "", 400),
        (b'{"batch":[]}' + b" " * (LIMIT - 12), "", 200),
        (b'{"batch":[]}' + b" " * (LIMIT - 11), "", 400),
        (gzip.compress(b'{"batch":[]}' + b" " * (LIMIT - 12), mtime=0), "gzip", 200),
        (gzip.compress(b'{"batch":[]}' + b" " * (LIMIT - 11), mtime=0), "gzip", 400),
        (gzip.compress(b" " * 128 * 1024 * 1024, compresslevel=1, mtime=0), "gzip", 400),
    ],
)
async def test_bodies_have_limits(client: httpx.AsyncClient, body: bytes, encoding: str, status: int) -> None:
    headers = {"Content-Encoding": encoding} if encoding else {}
    answer = await client.post("/v1/batch", content=body, headers=headers, auth=("w", ""))
    assert answer.status_code == status
    if status != 200:
        is_problem(answer, status, "unsupported-encoding" if status == 415 else "unreadable-body")


async def test_body_without_a_length_is_bounded_too(client: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(65):
            yield b" " * 65_536

    is_problem(await client.post("/v1/batch", content=chunks(), auth=("w", "")), 400, "unreadable-body")


async def test_refused_event_of_a_single_call_is_400_with_its_reason(client: httpx.AsyncClient) -> None:
    document = is_problem(await client.post("/v1/track", json={"userId": "u"}, auth=("w", "")), 400, "event-rejected")
    assert (document["reason"], document["field"]) == ("missing_event", "event")


async def test_strict_batch_is_400_with_the_same_body(client: httpx.AsyncClient, log: Log) -> None:
    events = [{**TRACK, "type": "track"}, {"type": "page", "messageId": "m"}]
    loose = (await client.post("/v1/batch", json={"batch": events}, auth=("w", ""))).json()
    strict = await client.post("/v1/batch?strict=1", json={"batch": events}, auth=("w", ""))
    document = is_problem(strict, 400, "batch-rejected")
    assert {name: document[name] for name in loose} == loose
    assert len(log.records) == 2


async def test_unavailable_kafka_is_503_with_retry_after(client: httpx.AsyncClient, log: Log) -> None:
    log.away = True
    answer = await client.post("/v1/track", json=TRACK, auth=("w", ""), headers={"Origin": "https://shop.example"})
    document = is_problem(answer, 503, "unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    assert "Retry-After" in answer.headers["access-control-expose-headers"]
    assert "brokers" not in document["detail"]


async def test_a_wrong_clock_is_503_that_names_the_clock(client: httpx.AsyncClient, log: Log) -> None:
    log.is_ahead = True
    answer = await client.post("/v1/track", json=TRACK, auth=("w", ""))
    document = is_problem(answer, 503, "wrong-clock")
    assert document["detail"].startswith("The clock of this machine is wrong. It is 3600 s ahead of Redis' clock.")
    assert "away" not in answer.text
    assert int(answer.headers["retry-after"]) >= 10


async def test_a_wrong_clock_is_not_ready() -> None:
    clock = MachineClock()
    clock.compare(5_000, 1_000)
    ready, detail = await Health({"clock": clock.check}).check_readiness()
    assert (ready, detail["missing"]) == (False, ["clock"])
    assert "4000 s ahead of Redis' clock" in detail["servers"]["clock"]


async def test_unavailable_postgres_does_not_show_its_address(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/track", json=TRACK, auth=("gone", ""))
    assert "10.1.2.3" not in answer.text


@pytest.mark.parametrize("path", ["/v1/track", "/v1/t", "/v1/batch/", "/beacon/v1/batch", "/v1/projects/k/settings"])
async def test_preflight_needs_no_key_and_is_remembered(client: httpx.AsyncClient, path: str) -> None:
    header_names = "anonymousid,authorization,content-type,sentat"
    answer = await client.options(path, headers={"Origin": "https://x", "Access-Control-Request-Headers": header_names})
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-headers"] == header_names
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert int(answer.headers["access-control-max-age"]) > 600
    assert answer.headers["access-control-allow-origin"] == "https://x"
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_metrics_are_in_prometheus_text(client: httpx.AsyncClient) -> None:
    await client.post("/v1/track", json=TRACK, auth=("w", ""))
    text = (await client.get("/metrics")).text
    assert 'rta_http_requests_total{route="/v1/track",status="200"}' in text
    assert "rta_collect_accepted_total" in text
