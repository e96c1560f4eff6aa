"""Cached answers are those of the store, and are dropped when the ledger advances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from rtaplatform.analytics.cache.unchanged_answers import UnchangedAnswers
from rtaplatform.core.ledger import LedgerRow, PartitionId
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.time.buckets import BucketKind
from rtaplatform.store.port import (
    BucketContent,
    ChangeNotification,
    Read,
    ReadBucketLog,
    ReadBuckets,
    ReadFields,
    Snapshot,
)

VIEWS = ReadFields("products", BucketKind.MINUTE, (1, 2), ("views",))
ORDERS = ReadFields("products", BucketKind.MINUTE, (1, 2), ("orders",))
WHOLE = ReadBuckets("products", BucketKind.MINUTE, (2,))
SINCE = ReadBucketLog("products", BucketKind.MINUTE, 2, "7-0")
PLACE = PartitionId("topic", 0)


class Store:
    """Answers each read from `answers`, else with the number of the call; records all reads."""

    def __init__(self) -> None:
        self.now = Snapshot(
            "g1", {}, {PLACE: LedgerRow(7, 6, 0, "", 0, 0)}, {}, False, ProjectSettings("demo", "UTC", "USD"), ()
        )
        self.requests: list[Sequence[Read]] = []
        self.answers: dict[Read, Any] = {}

    async def read(self, project: str, reads: Sequence[Read]) -> Snapshot:
        self.requests.append(tuple(reads))
        return replace(self.now, answers=tuple(self.answers.get(read, len(self.requests)) for read in reads))

    async def follow_notifications(self) -> Any:
        yield ChangeNotification(0, None)


async def test_unchanged_ledger_answers_from_the_cache() -> None:
    store = Store()
    cache = UnchangedAnswers(store)
    assert (await cache.ask("demo", [VIEWS])).answers == (1,)
    assert (await cache.ask("demo", [ORDERS, VIEWS])).answers == (2, 2)
    assert (await cache.ask("demo", [VIEWS, ORDERS])).answers == (2, 2)
    assert store.requests == [(VIEWS,), (ORDERS, VIEWS), ()]


@pytest.mark.parametrize(
    "change",
    [
        {"ledger": {PLACE: LedgerRow(8, 7, 0, "", 0, 0)}},
        {"ledger": {PLACE: LedgerRow(6, 5, 0, "", 0, 0)}},
        {"ledger": {PLACE: LedgerRow(7, 6, 0, "", 0, 0), PartitionId("topic", 1): LedgerRow(1, 0, 0, "", 0, 0)}},
        {"generation": "g2"},
        {"torn": True},
    ],
    ids=lambda change: "-".join(change),
)
async def test_changed_ledger_is_read_again(change: dict[str, Any]) -> None:
    store = Store()
    cache = UnchangedAnswers(store)
    await cache.ask("demo", [VIEWS])
    store.now = replace(store.now, **change)
    assert (await cache.ask("demo", [VIEWS])).answers == (3,)
    assert store.requests == [(VIEWS,), (), (VIEWS,)]


async def test_partially_applied_shard_is_not_cached() -> None:
    store = Store()
    cache = UnchangedAnswers(store)
    store.now = replace(store.now, torn=True)
    assert [(await cache.ask("demo", [VIEWS])).answers for _ in range(2)] == [(1,), (2,)]


async def test_large_buckets_are_not_cached_but_their_log_positions_are() -> None:
    store = Store()
    fields = [b"x"] * 2_000
    store.answers = {WHOLE: [BucketContent(fields, "7-0")], SINCE: BucketContent(fields, "8-0")}
    cache = UnchangedAnswers(store)
    for _ in range(2):
        assert (await cache.ask("demo", [WHOLE])).answers == ([BucketContent(fields, "7-0")],)
    assert store.requests == [(WHOLE,), (WHOLE,)]
    assert (await cache.ask("demo", [SINCE])).answers == (BucketContent([], "7-0"),)
    assert store.requests.pop() == ()


async def test_small_buckets_are_cached() -> None:
    store = Store()
    store.answers = {WHOLE: [BucketContent([b"views", b"1"])]}
    cache = UnchangedAnswers(store)
    for _ in range(2):
        assert (await cache.ask("demo", [WHOLE])).answers == ([BucketContent([b"views", b"1"])],)
    assert store.requests == [(WHOLE,), ()]


async def test_cached_answers_come_with_current_stops_and_settings() -> None:
    store = Store()
    cache = UnchangedAnswers(store)
    await cache.ask("demo", [VIEWS])
    store.now = replace(store.now, stops={"topic:0": "gap"}, project=ProjectSettings("demo", "Europe/Paris", "USD"))
    snapshot = await cache.ask("demo", [VIEWS])
    assert (snapshot.answers, snapshot.stops, snapshot.project.zone) == ((1,), {"topic:0": "gap"}, "Europe/Paris")


@pytest.mark.parametrize("projects", [None, {"demo"}])
async def test_change_notification_saves_the_comparison_of_ledgers(projects: set[str] | None) -> None:
    store = Store()
    cache = UnchangedAnswers(store)
    await cache.ask("demo", [VIEWS])
    cache.touch(projects)
    await cache.ask("demo", [VIEWS])
    cache.touch({"another"})
    await cache.ask("demo", [VIEWS])
    assert store.requests == [(VIEWS,), (VIEWS,), ()]


async def test_cache_is_bounded_by_projects_and_answers() -> None:
    store = Store()
    cache = UnchangedAnswers(store, projects_max=2, answers_max=1)
    for project in ("a", "b", "c", "c", "a"):
        await cache.ask(project, [VIEWS])
    assert store.requests == [(VIEWS,), (VIEWS,), (VIEWS,), (), (VIEWS,)]
    for _ in range(2):
        await cache.ask("a", [VIEWS, ORDERS])
    assert store.requests[-2:] == [(VIEWS, ORDERS), (VIEWS, ORDERS)]


async def test_cache_is_bounded_by_numbers() -> None:
    store = Store()
    minutes = ReadFields("activity", BucketKind.MINUTE, tuple(range(1_000)), ("count",))
    store.answers = {minutes: [{"count": 1}] * 1_000}
    cache = UnchangedAnswers(store, numbers_max=5_000)
    for project in ("a", "b", "c", "a"):
        await cache.ask(project, [minutes])
        assert cache.size <= 5_000
    assert store.requests == [(minutes,), (minutes,), (minutes,), (minutes,)]  # the third has pushed out the first
    assert (await UnchangedAnswers(store, numbers_max=500).ask("a", [minutes])).answers == (store.answers[minutes],)
