"""The dashboard's sign-in: a cookie that stands for a key, for our own pages and as long as the key is valid."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from rtaplatform.catalog.keys.key_rows import KeyAccess
from rtaplatform.serve.http.dependencies import CatalogServices
from rtaplatform.serve.session.sessions import CODE_SECONDS, RENEW_SECONDS, SESSION_SECONDS, Sessions
from tests.unit.serve.parts_of_tests import Reply, Site, Stream

DEMO = SimpleNamespace(
    id="prj_1", slug="demo", name="Demo", zone="Europe/Berlin", week_start="monday", currency="EUR",
    allowed_origins=[], event_properties=[], user_traits=[], settings={}, version=1,
    created_at=datetime(2026, 11, 1, tzinfo=UTC), updated_at=datetime(2026, 11, 1, tzinfo=UTC),
)  # fmt: skip
READER = {"key": "reader"}
OWN = {"origin": "http://test", "sec-fetch-site": "same-origin"}


class Database:
    async def run(self, work: Any, *, seconds: float | None = None) -> Any:
        return DEMO


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Shared:
    """Values that all processes share."""

    def __init__(self) -> None:
        self.values = dict[str, bytes]()

    async def get(self, name: str) -> bytes | None:
        return self.values.get(name)

    async def set(self, name: str, value: bytes, *, ex: int, nx: bool) -> bool:
        is_new = name not in self.values
        self.values.setdefault(name, value)
        return is_new

    async def delete(self, name: str) -> object:
        return self.values.pop(name, None)


def make_site(shared: Shared | None = None, clock: Clock | None = None) -> Site:
    catalog: Any = CatalogServices(Database(), erasure=None, publish_projects=None)  # type: ignore[arg-type]  # not used
    site = Site(sessions=Sessions(shared, clock or Clock()), catalog=catalog)
    site.keys.accesses["admin"] = KeyAccess("demo", "prj_1", frozenset({"read", "catalog:write", "admin"}), "key_3")
    return site


async def sign_in(site: Site, body: Any = READER, headers: dict[str, str] = OWN) -> Reply:
    return await site.ask_raw("POST", "/v1/session", b"", key=None, body=body, headers=headers)


def read_cookie(reply: Reply) -> str:
    return reply.headers["set-cookie"].partition(";")[0]


async def ask(site: Site, method: str, path: str, cookie: str, *, body: Any = None, **headers: str) -> Reply:
    names = {"cookie": cookie, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return await site.ask_raw(method, path, b"", key=None, body=body, headers=names)


async def test_a_key_opens_a_session_whose_cookie_stands_for_it() -> None:
    site = make_site()
    opened = await sign_in(site)
    assert (opened.status, opened.json["project"]["slug"], opened.json["scopes"]) == (200, "demo", ["read"])
    assert (opened.json["project"]["zone"], opened.json["project"]["currency"]) == ("Europe/Berlin", "EUR")
    assert "reader" not in opened.headers["set-cookie"]
    assert set(opened.headers["set-cookie"].split("; ")[1:]) == {
        "HttpOnly", "Path=/", f"Max-Age={SESSION_SECONDS}", "SameSite=strict"
    }  # fmt: skip
    cookie = read_cookie(opened)
    assert (await ask(site, "GET", "/v1/session", cookie)).json == opened.json
    assert (await ask(site, "GET", "/v1/metrics/events", cookie)).status == 200
    stream = Stream(site.app, "GET", "/v1/live", key=None, parameters={"metrics": "events"}, headers={"cookie": cookie})
    assert (await stream.read_events(1))[0][1] == "snapshot"
    await stream.leave()
    body = {"queries": [{"metric": "events"}]}
    assert (await ask(site, "POST", "/v1/query", cookie, body=body, **{"sec-fetch-site": "same-origin"})).status == 200


async def test_on_https_the_cookie_belongs_to_this_host_alone() -> None:
    site = make_site()
    opened = await sign_in(site, headers={**OWN, "origin": "https://test", "x-forwarded-proto": "https"})
    name, _, text = read_cookie(opened).partition("=")
    assert name == "__Host-rta_session"
    assert {"Secure", "Path=/", "HttpOnly"} <= set(opened.headers["set-cookie"].split("; "))
    assert "Domain" not in opened.headers["set-cookie"]
    assert (await ask(site, "GET", "/v1/session", read_cookie(opened), x_forwarded_proto="https")).status == 200
    planted = await ask(site, "GET", "/v1/session", f"rta_session={text}", x_forwarded_proto="https")
    assert planted.status == 401


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "none"},
        {"origin": "http://elsewhere"},
        {"origin": "null"},
        {"origin": "http://elsewhere", "sec-fetch-site": "same-origin"},
        {"origin": "http://test:8000"},
    ],
)
async def test_a_write_by_cookie_comes_from_our_own_pages(headers: dict[str, str]) -> None:
    site = make_site()
    cookie = read_cookie(await sign_in(site, {"key": "admin"}))
    refused = await site.ask_raw("POST", "/v1/live/tickets", b"", key=None, headers={"cookie": cookie, **headers})
    assert (refused.status, refused.json["field"]) == (403, "Origin")
    allowed = await site.ask_raw(
        "POST", "/v1/live/tickets", b"", key=None, headers={"cookie": cookie, "origin": "http://test"}
    )
    assert allowed.status == 200


async def test_a_key_in_the_header_comes_before_the_cookie() -> None:
    site = make_site()
    cookie = read_cookie(await sign_in(site))
    wrong = await site.ask_raw("GET", "/v1/session", b"", key="nonsense", headers={"cookie": cookie})
    assert wrong.status == 401
    other = await site.ask_raw("GET", "/v1/session", b"", key="admin", headers={"cookie": cookie})
    assert "admin" in other.json["scopes"]


async def test_a_session_ends_with_its_key_and_with_its_month() -> None:
    clock = Clock()
    site = make_site(Shared(), clock)
    cookie = read_cookie(await sign_in(site))
    access = site.keys.accesses.pop("reader")
    assert (await ask(site, "GET", "/v1/session", cookie)).status == 401
    site.keys.accesses["reader"] = access
    clock.now += RENEW_SECONDS + 1
    renewed = await ask(site, "GET", "/v1/session", cookie)
    assert read_cookie(renewed) != cookie
    assert "set-cookie" not in (await ask(site, "GET", "/v1/session", read_cookie(renewed))).headers
    clock.now += SESSION_SECONDS - RENEW_SECONDS - 1
    assert (await ask(site, "GET", "/v1/session", cookie)).status == 401
    assert (await ask(site, "GET", "/v1/session", read_cookie(renewed))).status == 200


async def test_every_process_knows_a_session_also_after_a_restart() -> None:
    shared, clock = Shared(), Clock()
    cookie = read_cookie(await sign_in(make_site(shared, clock)))
    assert (await ask(make_site(shared, clock), "GET", "/v1/session", cookie)).status == 200
    assert (await ask(make_site(Shared(), clock), "GET", "/v1/session", cookie)).status == 401


async def test_signing_out_removes_the_cookie() -> None:
    site = make_site()
    cookie = read_cookie(await sign_in(site))
    ended = await ask(site, "DELETE", "/v1/session", cookie, **{"sec-fetch-site": "same-origin"})
    assert (ended.status, read_cookie(ended)) == (204, 'rta_session=""')
    assert "Max-Age=0" in ended.headers["set-cookie"]
    assert (await ask(site, "GET", "/v1/session", read_cookie(ended))).status == 401


async def test_a_link_opens_one_session_within_ten_minutes() -> None:
    clock = Clock()
    site = make_site(Shared(), clock)
    code = await site.ask("POST", "/v1/session/codes", key="admin")
    opened = await sign_in(site, {"start": code.json["start"]})
    assert (opened.status, opened.json["scopes"]) == (200, ["read", "catalog:write", "admin"])
    again = await sign_in(site, {"start": code.json["start"]})
    assert (again.status, again.json["field"]) == (401, "start")
    late = await site.ask("POST", "/v1/session/codes", key="admin")
    clock.now += CODE_SECONDS
    assert (await sign_in(site, {"start": late.json["start"]})).status == 401


async def test_tickets_sessions_and_codes_are_not_taken_for_each_other() -> None:
    site = make_site(Shared())
    code = (await site.ask("POST", "/v1/session/codes")).json["start"]
    ticket = (await site.ask("POST", "/v1/live/tickets")).json["ticket"]
    session = read_cookie(await sign_in(site)).partition("=")[2]
    for text in (code, ticket):
        assert (await ask(site, "GET", "/v1/session", f"rta_session={text}")).status == 401
    for text in (session, ticket):
        assert (await sign_in(site, {"start": text})).status == 401
    for text in (session, code):
        assert (await site.ask("GET", "/v1/live", key=None, metrics="events", ticket=text)).status == 401


async def test_a_write_key_is_told_that_it_may_only_send() -> None:
    refused = await sign_in(make_site(), {"key": "writer"})
    assert (refused.status, refused.json["field"]) == (403, "key")
    assert refused.json["detail"] == "This key may only send events."
    assert "read key" in refused.json["hint"]


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"key": "nobody"}, 401, "key"),
        ({"start": "nothing"}, 401, "start"),
        ({"key": 1}, 422, "key"),
        ({"name": "x"}, 422, "name"),
        ({"key": "reader", "start": "x"}, 422, "key"),
        ([], 422, "body"),
    ],
)
async def test_a_wrong_sign_in_says_what_is_wrong(body: Any, status: int, field: str | None) -> None:
    refused = await sign_in(make_site(), body)
    assert (refused.status, refused.json["field"]) == (status, field)


async def test_wrong_keys_count_as_guesses() -> None:
    site = make_site()
    await sign_in(site, {"key": "nobody"})
    assert site.keys.guesses == ["nobody"]


async def test_pages_of_other_sites_cannot_sign_anybody_in() -> None:
    refused = await sign_in(make_site(), headers={"origin": "https://elsewhere", "sec-fetch-site": "cross-site"})
    assert (refused.status, refused.json["field"]) == (403, "Origin")
