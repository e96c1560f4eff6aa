"""For n = 1, 2, …: the n-th call of a question to the store or the catalog fails, or others act before it.

An answer of 200 has the numbers of a plain recount; everything else is 503 with Retry-After, and the same question
asked again is answered rightly, also from what is kept from one question to the next. Streams come to the right
numbers.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from copy import deepcopy
from typing import Any

import pytest

from rtaplatform.analytics.cache import window_cache
from rtaplatform.analytics.live import hub, live_query
from rtaplatform.core.errors import Stopped, Unavailable
from rtaplatform.store.port import ChangeNotification, Read, Snapshot
from tests.simulation.asking import MINUTE, PRODUCTS, Question, list_questions, make_morning, read_rows
from tests.simulation.collecting import SECRET, Plan
from tests.unit.analytics.catalog import Catalog
from tests.unit.analytics.live.test_hub import merge
from tests.unit.analytics.shop import NOON, Happening, Shop, make_memory_store
from tests.unit.serve.parts_of_tests import Reply, Site, Stream

READ = ("away", "no answer", "stopped", "others count", "it goes back", "it goes back, no answer")
CATALOG = ("away",)
NOTIFICATIONS = ("away", "reset")
ROUNDS = 2


class Place:
    """A site over a store in memory whose n-th call fails, and the events that are counted in it."""

    def __init__(self, plan: Plan) -> None:
        store = make_memory_store()
        self.plan, self.events, self.answered = plan, list[Happening](), 0
        self.shop = Shop(catalog=self, store=store, reader=self)
        self.site = Site(self.shop, self)
        self._catalog, self._others = Catalog(PRODUCTS), 10
        self._past: tuple[Any, int, int] = (None, 0, 0)
        self._uncounted: list[Happening] = []  # in the log, behind where the ledger stands

    def take(self, events: Sequence[Happening], *, at_most: int = 1_000) -> None:
        """Count what has come, and what was there before; at most so much of it."""
        self._past = deepcopy(self.shop.store.shards[0]), self.shop.offset, len(self.events)
        log = [*self._uncounted, *events]
        self._uncounted = log[at_most:]
        self.events += log[:at_most]
        self.shop.take(log[:at_most])

    def _go_back(self) -> None:
        """The store comes back without its last batch, of which workers have counted a part again."""
        shard, self.shop.offset, counted = self._past
        self.shop.store.shards[0] = deepcopy(shard)
        lost, self.events = self.events[counted:], self.events[:counted]
        self._uncounted = lost + self._uncounted
        self.take([], at_most=5)

    # The ports -------------------------------------------------------------------------------------------------------

    async def read(self, project: str, reads: Sequence[Read]) -> Snapshot:
        way = self.plan.choose_way("read", READ)
        if way == "away":
            raise Unavailable("redis", SECRET)
        if way == "stopped":
            raise Stopped("redis", "damaged", "A key of ours has another type.")
        if way == "others count":
            self._others += 1
            self.take(make_morning(self.shop.clock.at_ms, self._others))
        if way.startswith("it goes back"):
            self._go_back()
        snapshot: Snapshot = await self.shop.store.read(project, reads)
        if way.endswith("no answer"):
            raise Unavailable("redis", SECRET)
        self.answered += 1
        return snapshot

    async def follow_notifications(self) -> AsyncIterator[ChangeNotification]:
        async for notification in self.shop.store.follow_notifications():
            way = self.plan.choose_way("notification", NOTIFICATIONS)
            if way == "away":
                raise Unavailable("redis", SECRET)
            yield ChangeNotification(0, None) if way else notification

    async def find_table(self, project: str) -> Any:
        if self.plan.choose_way("products", CATALOG):
            raise Unavailable("postgres", SECRET)
        return await self._catalog.find_table(project)

    async def find_products(self, project: str, ids: Collection[str]) -> Mapping[str, Any]:
        if self.plan.choose_way("products", CATALOG):
            raise Unavailable("postgres", SECRET)
        return await self._catalog.find_products(project, ids)


def find_objections(answer: Reply) -> list[str]:
    """What is wrong with an answer that is not 200."""
    document, headers = answer.json, answer.headers
    checks = {
        f"status {answer.status}": answer.status == 503,
        "no Retry-After": headers.get("retry-after", "0").isdigit() and int(headers.get("retry-after", "0")) > 0,
        "not a problem document": headers["content-type"] == "application/problem+json",
        "not the code": document["code"] in ("unavailable", "stopped"),
        "internals are shown": not any(word in answer.body.decode() for word in SECRET.split()),
    }
    return [name for name, is_right in checks.items() if not is_right]


async def find_wrong_answers(place: Place, question: Question) -> list[str]:
    """Asked until it is answered by 200, twice at most: a call fails once."""
    wrong: list[str] = []
    for _ in range(2):
        answer = await question.ask(place.site)
        if answer.status == 200:
            numbers, true = question.read_numbers(answer.json), question.truth(place.events, place.shop.clock.at_ms)
            return wrong + ([] if numbers == true else [f"{question.name}: {numbers} instead of {true}"])
        wrong += [f"{question.name}: {objection}" for objection in find_objections(answer)]
    return [*wrong, f"{question.name}: still {answer.status}"]


@pytest.fixture(autouse=True)
def _large_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window_cache, "PORTION", 1_000)


async def run(plan: Plan) -> list[str]:
    """Two rounds: time passes, events are counted, every question is asked."""
    place = Place(plan)
    wrong: list[str] = []
    for number in range(ROUNDS):
        place.shop.clock.at_ms += number * 17 * MINUTE + 1
        place.take(make_morning(place.shop.clock.at_ms, number))
        for question in list_questions():
            place.shop.engine.touch(None if number % 2 else frozenset({"other"}))
            wrong += [f"round {number}: {line}" for line in await find_wrong_answers(place, question)]
    return wrong


async def test_the_questions_are_answered_as_the_recount_says() -> None:
    plan = Plan()
    assert await run(plan) == []
    assert {"read", "products"} <= set(plan.calls)
    assert plan.calls.count("read") > ROUNDS * len(list_questions()), "some read more than once"


@pytest.mark.parametrize("question", list_questions(), ids=lambda question: question.name)
def test_the_recount_counts_something(question: Question) -> None:
    numbers = question.truth(make_morning(NOON + 1, 2), NOON + 1)
    assert numbers
    assert numbers != question.truth([], NOON + 1)


@pytest.mark.parametrize(("name", "way"), [*(("read", way) for way in READ), *(("products", way) for way in CATALOG)])
async def test_any_call_of_a_question_may_fail_once(name: str, way: str) -> None:
    clean = Plan()
    await run(clean)
    for n in (n for n, called in enumerate(clean.calls, 1) if called == name):
        wrong = await run(Plan(n, way))
        assert not wrong, f"call {n}, {name}: {way}: {len(wrong)} wrong:\n" + "\n".join(wrong[:20])


# Streams -------------------------------------------------------------------------------------------------------------

LIVE = {"metrics": "product_views", "breakdown": "product_id", "from": "-9h"}


@pytest.fixture
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((live_query, "RETRY_S"), (live_query, "IDLE_S"), (live_query, "LOOK_S"), (hub, "RECONNECT_S")):
        monkeypatch.setattr(module, name, 0.01)
    monkeypatch.setattr(live_query, "COST_FACTOR", 0)


async def watch(plan: Plan) -> list[str]:
    """A stream, three batches under it; what its client has merged is the recount in the end."""
    place = Place(plan)
    following = asyncio.create_task(place.site.hub.run())
    place.take(make_morning(place.shop.clock.at_ms, 0))
    client = await _connect(place)
    for number in (1, 2):
        place.take(make_morning(place.shop.clock.at_ms - number, number))
        wrong = await _repeat_until_right(lambda: _find_wrong_shown(place, client))
        if wrong:
            break
    await client.leave()
    following.cancel()
    leaks = [f"{place.site.hub.connections} connections"] if place.site.hub.connections else []
    return wrong + leaks + ([] if len(plan.calls) >= plan.n else ["the call was not reached"])


async def _connect(place: Place) -> Stream:
    """A stream; a first computation that fails is told as a problem, and the client comes again."""
    for _ in range(2):
        client = Stream(place.site.app, "GET", "/v1/live", parameters=LIVE)
        await client.read_events(1)
        if client.status == 200:
            return client
        assert find_objections(Reply(client.status, client.body, client.headers)) == []
        await client.leave()
    raise AssertionError(f"still {client.status}")


async def _find_wrong_shown(place: Place, client: Stream) -> list[str]:
    answers: list[Any] = []
    for _, name, data in await client.read_events(1):
        if name == "snapshot":
            answers = data["answers"]
        elif name == "update":
            answers = merge(answers, data["answers"])
        elif data["status"] != 503 or any(word in str(data) for word in SECRET.split()):
            return [f"error event {data}"]
    true = next(q for q in list_questions() if q.name == "views").truth(place.events, place.shop.clock.at_ms)
    return [] if read_rows(answers[0]) == true else [f"{read_rows(answers[0])} instead of {true}"]


async def _repeat_until_right(look: Callable[[], Any]) -> list[str]:
    """Nothing, once nothing is wrong any more; what is still wrong where that does not come."""
    wrong: list[str] = []
    for _ in range(300):
        wrong = await look()
        if not wrong:
            return []
        await asyncio.sleep(0.01)
    return wrong


@pytest.mark.usefixtures("_in_a_hurry")
@pytest.mark.parametrize("way", sorted({*READ, *CATALOG, *NOTIFICATIONS}))
async def test_a_stream_comes_to_the_right_numbers_whatever_failed(way: str) -> None:
    for n in range(1, 9):
        wrong = await watch(Plan(n, way))
        assert not wrong, f"call {n}: {way}:\n" + "\n".join(wrong)
