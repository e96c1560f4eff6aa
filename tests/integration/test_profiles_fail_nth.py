"""For n = 1, 2, …: the n-th call of the profiles' reader to log or PostgreSQL fails once, and the rows are the same.

Before its effect, or after it: then nobody is told that it happened.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
import pytest

from rtaplatform.catalog.database import Database
from rtaplatform.core.errors import Unavailable
from rtaplatform.profiles.profile_worker import ProfileWorker
from rtaplatform.stream.port import LogRecord, Partition
from tests.integration.catalog_stack import CatalogStack, prepare
from tests.integration.servers import Servers

START_MS, EVENTS, USERS = 1_795_000_000_000, 12, 3
Shown = list[tuple[Any, ...]]


class Plan:
    """Which call fails; `calls` are those so far, by name."""

    def __init__(self, n: int, *, is_after: bool) -> None:
        self.n, self.is_after, self.calls = n, is_after, list[str]()

    def call(self, name: str, act: Callable[[], Any]) -> Any:
        self.calls.append(name)
        is_now = len(self.calls) == self.n
        if is_now and not self.is_after:
            raise Unavailable("postgres", "lost before")
        result = act()
        if is_now:
            raise Unavailable("postgres", "lost after")
        return result


class ShortLog:
    """Twelve identify events, five at a time, from where it was committed."""

    def __init__(self, plan: Plan) -> None:
        self._plan, self._next, self.committed = plan, 0, 0

    def poll(self) -> Sequence[tuple[LogRecord, int]]:
        return self._plan.call("poll", self._read)  # type: ignore[no-any-return]  # what `_read` returns

    def _read(self) -> Sequence[tuple[LogRecord, int]]:
        records = [record(n) for n in range(self._next, min(EVENTS, self._next + 5))]
        self._next += len(records)
        return [(entry, entry.timestamp_ms) for entry in records]

    def commit(self) -> None:
        self.committed = self._next


class FailingDatabase:
    """Each statement may fail, and each transaction after it is committed."""

    def __init__(self, database: Database, plan: Plan) -> None:
        self._database, self._plan = database, plan

    async def run(self, work: Callable[[Any], Any], *, seconds: float) -> Any:
        outcome = await self._database.run(
            lambda connection: work(_Connection(connection, self._plan)), seconds=seconds
        )
        return self._plan.call("committed", lambda: outcome)


class _Connection:
    def __init__(self, connection: Any, plan: Plan) -> None:
        self._connection, self._plan = connection, plan

    def execute(self, *args: Any) -> Any:
        return self._plan.call("execute", lambda: self._connection.execute(*args))


def record(number: int) -> LogRecord:
    event = {
        "projectId": "demo", "type": "identify", "userId": f"nth-{number % USERS}", "anonymousId": f"a-{number}",
        "timestamp": "2026-11-18T11:00:00Z", "traits": {"age": number, f"n{number % 4}": "x"},
    }  # fmt: skip
    value = json.dumps(event).encode()
    return LogRecord(Partition("rta.events.web", 0), number, START_MS + number, b"k", value, 0, False)


@pytest.fixture(scope="module")
def stack(servers: Servers) -> CatalogStack:
    return prepare(servers)


async def fetch_rows_after(stack: CatalogStack, plan: Plan) -> Shown:
    """What stands in the table in the end, begun with an empty one."""
    with psycopg.connect(stack.servers.postgres_url) as connection:
        connection.execute("DELETE FROM users WHERE id LIKE 'nth-%'")
    database, log = Database(stack.catalog), ShortLog(plan)
    loop = ProfileWorker(log, FailingDatabase(database, plan), users_max=2)  # type: ignore[arg-type]  # all that it calls
    async with asyncio.timeout(60):
        while log.committed < EVENTS:
            await loop.turn()
    await database.close()
    names = "id, traits, anonymous_ids, first_seen, last_seen"
    with psycopg.connect(stack.servers.postgres_url) as connection:
        return connection.execute(
            f"SELECT {names} FROM users WHERE id LIKE 'nth-%' ORDER BY id"
        ).fetchall()  # a constant


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
async def test_any_call_of_profiles_may_fail_once(stack: CatalogStack, is_after: bool) -> None:
    clean = Plan(0, is_after=is_after)
    expected = await fetch_rows_after(stack, clean)
    assert len(expected) == USERS
    assert set(clean.calls) == {"poll", "execute", "committed"}
    for n in range(1, len(clean.calls) + 1):
        if is_after and clean.calls[n - 1] == "poll":
            continue  # a poll whose records were dropped: the consumer never does that
        assert await fetch_rows_after(stack, Plan(n, is_after=is_after)) == expected, f"call {n}, {clean.calls[n - 1]}"
