"""For n = 1, 2, …: the n-th statement of each operation of the catalog fails, COMMIT among them, in each way it can.

It is answered rightly or by 503 with Retry-After, it is wholly done or not at all, and asked again it succeeds: an
operation that was not answered and may have been done answers what it answers to somebody who comes later.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any, cast

import httpx
import psycopg
import pytest
from pydantic import SecretStr

from rtaplatform.catalog.database import Database
from rtaplatform.local.servers.postgres import Postgres
from rtaplatform.profiles.erasure import PersonErasure
from rtaplatform.profiles.erasure_receipt import LogRetention
from rtaplatform.serve.catalog import import_routes
from rtaplatform.settings import CatalogSettings
from tests.integration.catalog_site import Site, open_site
from tests.integration.cutting import CUTS, DONE_SILENT, LOST, SILENT, Plan, Proxy, make_postgres_proxy
from tests.integration.servers import Running
from tests.integration.test_reader_fail_nth import replace_port

TIMEOUT_SECONDS = 0.3
NDJSON = {"Content-Type": "application/x-ndjson"}


def make_refusal(state: str, message: str) -> bytes:
    """What PostgreSQL says as it ends a connection."""
    fields = b"".join(
        k + v.encode() + b"\0" for k, v in ((b"S", "FATAL"), (b"V", "FATAL"), (b"C", state), (b"M", message))
    )
    return b"E" + (len(fields) + 5).to_bytes(4, "big") + fields + b"\0"


WAYS: dict[str, str | bytes] = {
    **{way: way for way in CUTS},
    "shutting down": make_refusal("57P01", "terminating connection due to administrator command, host 10.1.2.3"),
}


@dataclass(frozen=True)
class Operation:
    """`before` is there first. `status` is the answer's, `late` the right ones where it was done before."""

    name: str
    method: str
    path: str
    status: int
    late: Iterable[int] = ()
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    before: tuple[tuple[str, Any], ...] = ()


OLD = ("/v1/products/p", {"name": "Old", "attributes": {"a": 1, "b": 2}})
ADA = ("/v1/users/u", {"name": "Ada", "email": "ada@example.com", "anonymous_ids": ["a-1"]})
LINES = [{"id": "p", "name": "New"}, {"id": "q"}, {"id": "p", "attributes": {"c": 3}}, {"id": "r", "price": 2.5}]
PATIENCE = 10
OPERATIONS = [
    Operation("create", "POST", "/v1/products", 201, (409,), {"id": "p", "name": "New"}),
    Operation("create by PUT", "PUT", "/v1/products/p", 201, (200,), {"name": "New"}),
    Operation("replace", "PUT", "/v1/products/p", 200, (200,), {"name": "New"}, before=(OLD,)),
    Operation("patch", "PATCH", "/v1/products/p", 200, (200,), {"attributes": {"a": None, "c": 3}}, before=(OLD,)),
    Operation("conditional patch", "PATCH", "/v1/products/p", 200, (412,), {"name": "New"}, before=(OLD,)),
    Operation("delete", "DELETE", "/v1/products/p", 204, (404,), before=(OLD,)),
    Operation("import", "POST", "/v1/products/import", 200, (200,), "\n".join(map(json.dumps, LINES)), NDJSON, (OLD,)),
    Operation("erase", "DELETE", "/v1/users/u?erase=true", 200, (200,), before=(ADA,)),
    Operation("conditional erase", "DELETE", "/v1/users/u?erase=true", 200, (200,), before=(ADA,)),
    Operation("erase nobody", "DELETE", "/v1/users/u?erase=true", 200, (200,)),
    Operation("list", "GET", "/v1/products", 200, (200,), before=(OLD,)),
    Operation("make a key", "POST", "/v1/keys", 201, (201,), {"name": "k", "scopes": ["read"]}),
]
TABLES = {
    "products": "id, name, brand, price, attributes, status",
    "users": "id, name, email, anonymous_ids",
    "keys": "name, scopes, revoked_at",
    "erasures": "user_id, (receipt ? 'pending')",
}


class Place:
    """Two sites over one database: one behind the proxy, and a calm one that prepares and looks."""

    def __init__(self, calm: Site, behind: Proxy) -> None:
        self.calm, self.behind = calm, behind
        self.url = calm.settings.url.get_secret_value()
        settings = CatalogSettings(
            url=SecretStr(replace_port(behind, self.url)), timeout_seconds=TIMEOUT_SECONDS, pool_size=1
        )
        self.site = Site(replace_port(behind, self.url))
        self.site.database = Database(settings)
        parts = cast(Any, self.site.app.state["parts"])
        object.__setattr__(parts.catalog, "database", self.site.database)
        object.__setattr__(parts, "keys", calm.keys)
        erasure = PersonErasure(
            self.site.database, lambda *_: None, lambda *_: {"online": 0, "values": 0}, _make_empty_retention
        )
        object.__setattr__(parts.catalog, "erasure", erasure)

    async def prepare(self, operation: Operation) -> dict[str, str]:
        """The rows as they are before; the headers of the condition."""
        await asyncio.to_thread(self._empty)
        headers: dict[str, str] = {}
        async with self.calm.make_client() as client:
            for path, body in operation.before:
                headers["If-Match"] = (await client.put(path, json=body)).headers["etag"]
        self.behind.plan = Plan()
        await self._connect()
        return headers if operation.name.startswith("conditional") else {}

    async def _connect(self) -> None:
        """A connection that is there and works: what fails is the operation. On a busy machine one takes its time."""
        async with self.site.make_client() as client:
            for _ in range(10):
                answer = await client.get("/v1/products")
                if answer.status_code == 200:
                    return
        raise AssertionError(f"the site does not answer: {answer.text}")

    def _empty(self) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("DELETE FROM products")
            connection.execute("DELETE FROM users")
            connection.execute("DELETE FROM erasures")
            connection.execute("DELETE FROM keys WHERE name = 'k'")

    async def read_rows(self) -> dict[str, list[Any]]:
        """Read beside the loop, on which the proxy lets go of what was cut."""
        return await asyncio.to_thread(self._read_rows)

    def _read_rows(self) -> dict[str, list[Any]]:
        with psycopg.connect(self.url) as connection:
            return {
                name: connection.execute(f"SELECT {columns} FROM {name} ORDER BY 1, 2").fetchall()
                for name, columns in TABLES.items()
            }

    async def ask(self, operation: Operation, condition: dict[str, str]) -> httpx.Response:
        headers = {**operation.headers, **condition}
        async with self.site.make_client() as client:
            if isinstance(operation.body, str) or operation.body is None:
                return await client.request(operation.method, operation.path, content=operation.body, headers=headers)
            return await client.request(operation.method, operation.path, json=operation.body, headers=headers)


def _make_empty_retention() -> LogRetention:
    return cast(LogRetention, {})


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_routes, "CHUNK_SECONDS_MAX", TIMEOUT_SECONDS)


@pytest.fixture
async def place(postgres_server: Running[Postgres]) -> AsyncIterator[Place]:
    async with open_site(postgres_server.server) as calm, make_postgres_proxy(postgres_server.server.port) as behind:
        new_place = Place(calm, behind)
        yield new_place
        await new_place.site.database.close()


def find_objections(answer: httpx.Response) -> list[str]:
    """What is wrong with a refusal."""
    document = answer.json()
    checks = {
        f"status {answer.status_code}": answer.status_code == 503,
        "no Retry-After": int(answer.headers.get("retry-after", "0")) > 0,
        "not the code": document.get("code") == "unavailable",
        "internals are shown": not any(word in answer.text for word in ("10.1.2.3", "SELECT", "psycopg", "COMMIT")),
    }
    return [name for name, is_right in checks.items() if not is_right]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
async def test_any_statement_of_an_operation_may_fail_once(place: Place, operation: Operation) -> None:
    condition = await place.prepare(operation)
    before = await place.read_rows()
    place.behind.plan = clean = Plan()
    assert (await place.ask(operation, condition)).status_code == operation.status
    after, calls = await place.read_rows(), list(clean.calls)
    assert any(b"COMMIT" in call for call in calls)
    for way in WAYS:
        for n in range(1, len(calls) + 1):
            if way in (SILENT, DONE_SILENT) and not _is_begin_or_commit(calls[n - 1], n):
                continue
            wrong = await _find_wrong(place, operation, Plan(n, WAYS[way]), before, after)
            assert not wrong, f"call {n}, {calls[n - 1][:40]!r}: {way}:\n" + "\n".join(wrong)


def _is_begin_or_commit(call: bytes, n: int) -> bool:
    """Calls that are failed by a time-out too: a statement at the begin, and each COMMIT."""
    return n == 2 or b"COMMIT" in call


async def _find_wrong(
    place: Place, operation: Operation, plan: Plan, before: dict[str, Any], after: dict[str, Any]
) -> list[str]:
    condition = await place.prepare(operation)
    place.behind.plan = plan
    answer = await place.ask(operation, condition)
    await asyncio.sleep(0.02)
    rows = await place.read_rows()
    if answer.status_code == operation.status:
        return [] if rows == after else [f"answered as done: {rows} instead of {after}"]
    wrong = find_objections(answer)
    # An erasure is two transactions: it may have begun.
    is_done, is_begun = rows == after, "erase" in operation.name and rows["users"] == after["users"]
    if not (is_done or rows == before or is_begun):
        wrong.append(f"half done: {rows}")
    return wrong + await _find_wrong_again(place, operation, condition, after, was_done=is_done)


async def _find_wrong_again(
    place: Place, operation: Operation, condition: dict[str, str], after: dict[str, Any], *, was_done: bool
) -> list[str]:
    """The same once more, and again after a 503, as a client does."""
    right = {operation.status, *operation.late} if was_done else {operation.status}
    for _ in range(PATIENCE):
        answer = await place.ask(operation, condition)
        if answer.status_code != 503:
            break
        await asyncio.sleep(0.2)  # a connection that was lost is made anew
    rows = await place.read_rows()
    rows["keys"] = [row for at, row in enumerate(rows["keys"]) if row not in rows["keys"][:at]]  # two keys are two
    wrong = [] if answer.status_code in right else [f"asked again: {answer.status_code} {answer.text}"]
    return wrong + ([] if rows == after else [f"asked again: {rows} instead of {after}"])


async def test_a_server_that_hangs_at_commit_keeps_no_connection(place: Place) -> None:
    """More often than there are connections; then everything goes on."""
    for way in (SILENT, DONE_SILENT, LOST):
        for number in range(3):
            place.behind.plan = Plan(1, way, lambda call: b"COMMIT" in call)
            async with place.site.make_client() as client:
                answer = await client.put(f"/v1/products/h{number}", json={})
                assert answer.status_code == 503
                assert (await client.put(f"/v1/products/h{number}", json={})).status_code in (200, 201)
