"""Golden files of live messages: what the hub sends while a shop changes, and the whole answers after each message.

`python -m tests.golden.live_worlds` writes `tests/golden/live/*.json`; `test_golden_live.py` compares. Every reducer is
tested with them: the Python client's here, the dashboard's in its own tests.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from rtaplatform.analytics.answer.engine import Reply
from rtaplatform.analytics.ask.parse import parse_object
from rtaplatform.analytics.live.live_query import AnswerVersion, LiveQuery
from rtaplatform.serve.query.answer_encoding import encode_answers
from rtaplatform.serve.socket.socket_messages import answers_message, write_resumed
from tests.unit.analytics.shop import NOON, Happening, Shop

FOLDER = Path(__file__).parent / "live"
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
DST_ENDS = int(datetime(2026, 10, 25, 0, 59, 30, tzinfo=UTC).timestamp() * 1000)  # 02:59:30 in Berlin, the first time
ID = "golden"


class Subscriber:
    """A subscription to a shop. `hear` sends what is new since the version that the client has."""

    def __init__(self, now_ms: int, *queries: dict[str, Any]) -> None:
        self.shop, self.queries, self.steps = Shop(), queries, list[Any]()
        self.shop.clock.at_ms = now_ms
        self._questions = [parse_object(query) for query in queries]
        self._hub = LiveQuery(self._reply, interval_s=1, name=ID)  # only its pure part is used
        self._versions, self._client_version = list[AnswerVersion](), 0
        self.cuts = list[int]()  # how many steps were over when a new connection began

    async def hear(self) -> None:
        """The hub makes a new version, and the client is sent it."""
        await self.miss()
        self._record(self._make_message(), self._versions[-1])
        self._client_version = len(self._versions)

    async def miss(self) -> None:
        """The hub makes a new version while the client is away."""
        reply = await self._reply()
        id = f"{reply.generation}-{reply.digest}-{ID}.{len(self._versions) + 1}"
        self._versions.append(AnswerVersion(id, reply.generation, reply.answers, 0))

    def resume(self) -> None:
        """The client comes back with its version, and its answers stay as they are."""
        self.cuts.append(len(self.steps))
        known_version = self._versions[self._client_version - 1]
        self._record(write_resumed(ID, known_version.id), known_version)

    def lose_version(self) -> None:
        """The client comes back with a version that the hub does not know any more."""
        self.cuts.append(len(self.steps))
        self._client_version = 0

    async def _reply(self) -> Reply:
        return await self.shop.engine.reply("demo", self._questions)

    def _make_message(self) -> str:
        latest = self._versions[-1]
        base = self._versions[self._client_version - 1] if self._client_version else None
        updates = None if base is None else self._hub.merge_updates_since(base, latest)
        if updates is None:
            return answers_message("snapshot", ID, latest.id, encode_answers(latest.answers).decode())
        return answers_message("update", ID, latest.id, encode_answers(updates).decode())

    def _record(self, message: str, version: AnswerVersion) -> None:
        answers = msgspec.json.decode(msgspec.json.encode(version.answers))
        self.steps.append({"message": msgspec.json.decode(message), "answers": answers})


class World(NamedTuple):
    """A golden file: its name, what happens in it, and the life of the subscriber."""

    name: str
    about: str
    live: Callable[[], Awaitable[Subscriber]]


async def let_minutes_pass() -> Subscriber:
    client = Subscriber(NOON + 30_000, {"metric": "events", "from": "-5m", "interval": "minute"}, {"metric": "online"})
    client.shop.take([Happening(NOON), Happening(NOON - 3 * MINUTE, person="b")])
    await client.hear()
    for _ in range(2):
        client.shop.clock.at_ms += MINUTE
        await client.hear()
    client.shop.take([Happening(client.shop.clock.at_ms)])
    await client.hear()
    client.shop.clock.at_ms += 4 * MINUTE  # nobody is online any more, and most of the window is new
    await client.hear()
    return client


async def let_an_hour_pass() -> Subscriber:
    client = Subscriber(
        NOON + 59 * MINUTE, {"metric": "orders", "from": "-3h", "interval": "hour", "breakdown": ["source"]}
    )
    client.shop.take([_make_order(NOON - 2 * HOUR, "web"), _make_order(NOON, "ios")])
    await client.hear()
    client.shop.clock.at_ms += 2 * MINUTE
    client.shop.take([_make_order(NOON + HOUR, "web")])
    await client.hear()
    client.shop.clock.at_ms += HOUR
    await client.hear()
    return client


async def repeat_the_hour() -> Subscriber:
    client = Subscriber(DST_ENDS, {"metric": "events", "from": "-3h", "interval": "hour"})
    client.shop.take([Happening(DST_ENDS)])
    await client.hear()
    for _ in range(3):
        client.shop.clock.at_ms += HOUR
        client.shop.take([Happening(client.shop.clock.at_ms)] * 2)
        await client.hear()
    return client


async def let_the_window_jump() -> Subscriber:
    client = Subscriber(NOON, {"metric": "events", "from": "-5m", "interval": "minute"}, {"metric": "orders"})
    client.shop.take([Happening(NOON)])
    await client.hear()
    client.shop.clock.at_ms += 10 * MINUTE
    await client.hear()
    return client


async def count_a_late_event() -> Subscriber:
    client = Subscriber(
        NOON,
        {"metric": "events", "from": "-6h", "interval": "hour"},
        {"metric": "events", "from": "-6h", "breakdown": ["source", "country"], "compare": "previous_period"},
    )
    client.shop.take([Happening(NOON - HOUR)])
    await client.hear()
    client.shop.take([Happening(NOON - 5 * HOUR, country="FR"), Happening(NOON - 8 * HOUR)], late=1)
    await client.hear()
    return client


async def change_places_of_rows() -> Subscriber:
    client = Subscriber(
        NOON, {"metric": "events", "breakdown": ["source"], "limit": 2, "interval": "hour", "from": "-2h"}
    )
    client.shop.take([Happening(NOON)] * 2 + [Happening(NOON, source="ios")])
    await client.hear()
    client.shop.take([Happening(NOON, source="ios")] * 2)
    await client.hear()
    client.shop.take([Happening(NOON, source="android")] * 5)  # web falls out, android comes first
    await client.hear()
    client.shop.take([Happening(NOON)] * 3)  # and web is back
    await client.hear()
    client.shop.clock.at_ms += 4 * HOUR  # nothing is left of any of them
    await client.hear()
    return client


async def begin_a_new_generation() -> Subscriber:
    client = Subscriber(NOON, {"metric": "events", "breakdown": ["source"]})
    client.shop.take([Happening(NOON)])
    await client.hear()
    client.shop.store.begin(0, expected="g1", generation="g2", topics={}, starts={})
    await client.hear()
    return client


async def bring_a_client_back() -> Subscriber:
    client = Subscriber(
        NOON, {"metric": "events", "from": "-5m", "interval": "minute", "breakdown": ["source"]}, {"metric": "online"}
    )
    client.shop.take([Happening(NOON - MINUTE), Happening(NOON, source="ios", person="b")])
    await client.hear()
    for _ in range(3):
        client.shop.clock.at_ms += MINUTE
        client.shop.take([Happening(client.shop.clock.at_ms, source="server")])
        await client.miss()
    client.resume()
    await client.hear()
    client.resume()
    client.shop.clock.at_ms += 6 * MINUTE
    await client.hear()
    client.resume()
    client.shop.store.begin(0, expected="g1", generation="g2", topics={}, starts={})
    await client.hear()
    return client


def _make_order(at_ms: int, source: str) -> Happening:
    return Happening(at_ms, event="Order Completed", source=source, product="p-1", revenue=125_000)


WORLDS = (
    World("minutes-pass", "A window of minutes moves; online falls as time passes.", let_minutes_pass),
    World("an-hour-passes", "A window of hours moves, with rows.", let_an_hour_pass),
    World("the-hour-comes-twice", "Daylight saving ends: two hours have the same local time.", repeat_the_hour),
    World("the-window-jumps", "Nothing is left of the old window: a snapshot.", let_the_window_jump),
    World("a-late-event", "An event changes an old bucket, a new row, and the period before.", count_a_late_event),
    World("rows-change-places", "Rows are overtaken, fall out of the limit, and come back.", change_places_of_rows),
    World("a-new-generation", "The totals were rebuilt: a snapshot.", begin_a_new_generation),
    World(
        "a-client-comes-back",
        "A client resumes: in its window, after it, in a new generation.",
        bring_a_client_back,
    ),
)


async def write_world(world: World) -> str:
    """Return the content of a golden file."""
    client = await world.live()
    content = {"name": world.name, "about": world.about, "queries": client.queries, "steps": client.steps}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for world in WORLDS:
        (FOLDER / f"{world.name}.json").write_text(asyncio.run(write_world(world)))


if __name__ == "__main__":
    main()
