"""One device cannot use up a key: addresses, browsers and persons have limits of their own within it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from litestar.exceptions import TooManyRequestsException

from rtaplatform.collect.body.draft import CollectedRecord
from rtaplatform.collect.collector import Collector
from rtaplatform.serve.limits.holder_limits import ADDRESS, HOLDERS_MAX, PERSON, HolderLimits
from rtaplatform.settings import LimitSettings
from tests.unit.serve.parts_of_tests import Reply, Site

FIREFOX = {
    "origin": "https://shop.example", "sec-fetch-mode": "cors", "accept-language": "de",
    "user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
}  # fmt: skip
BEGIN = 60_000_000.0


class Log:
    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    async def append(self, records: Sequence[CollectedRecord]) -> None:
        self.records += [json.loads(record.value) for record in records]


class Collecting(Site):
    def __init__(self, **limits: int) -> None:
        self.log = Log()
        super().__init__(collector=Collector(self.log), limits=LimitSettings(**limits))  # type: ignore[arg-type]  # pydantic reads them

    async def track(self, person: str, headers: dict[str, str] | None = None) -> Reply:
        body = {"event": "x", "anonymousId": person}
        return await self.ask_raw("POST", "/v1/track", b"", key="writer", body=body, headers=headers)

    async def send_batch(self, persons: Sequence[str], headers: dict[str, str] | None = None) -> Reply:
        body = {"batch": [{"type": "track", "event": "x", "anonymousId": person} for person in persons]}
        return await self.ask_raw("POST", "/v1/batch", b"", key="writer", body=body, headers=headers)


async def test_a_person_over_the_limit_is_refused_and_others_go_on() -> None:
    site = Collecting(person_events_per_minute=3)
    assert [(await site.track("mad")).status for _ in range(5)] == [200, 200, 200, 429, 429]
    reply = await site.track("mad")
    assert (reply.headers["ratelimit-limit"], reply.headers["ratelimit-remaining"]) == ("3", "0")
    assert 1 <= int(reply.headers["retry-after"]) <= 60
    assert "person" in reply.json["detail"]
    assert (await site.track("calm")).status == 200


async def test_a_batch_of_one_person_counts_and_one_of_many_does_not() -> None:
    site = Collecting(person_events_per_minute=4)
    assert [(await site.send_batch(["mad"] * 3)).status for _ in range(2)] == [200, 429]
    assert [(await site.send_batch(["mad", "a", "b"])).status for _ in range(5)] == [200] * 5


async def test_browsers_of_an_address_have_a_limit_and_servers_another() -> None:
    site = Collecting(browser_events_per_minute=2, address_events_per_minute=5)
    assert [(await site.track(f"a-{n}", FIREFOX)).status for n in range(3)] == [200, 200, 429]
    assert [(await site.track(f"b-{n}")).status for n in range(4)] == [200, 200, 200, 429]


async def test_who_is_refused_by_address_takes_nothing_of_the_key() -> None:
    site = Collecting(browser_events_per_minute=1, collect_events_per_minute=3)
    assert [(await site.track(f"a-{n}", FIREFOX)).status for n in range(50)].count(200) == 1
    assert [(await site.track(f"b-{n}")).status for n in range(3)] == [200, 200, 429]


async def test_a_visitor_of_pages_who_is_too_fast_for_a_person_is_marked_from_then_on() -> None:
    site = Collecting()
    bound = site.parts.intake.bot_events_per_minute
    assert (await site.send_batch(["fast"] * bound, FIREFOX)).status == 200
    await site.track("fast", FIREFOX)
    await site.track("calm", FIREFOX)
    await site.track("fast")  # by a server
    marks = [record.get("marks", []) for record in site.log.records[bound - 1 :]]
    assert ["bot:rate" in marks_of_record for marks_of_record in marks] == [False, True, False, False]


@pytest.mark.parametrize(
    ("changes", "is_bot"),
    [
        ({}, False),
        ({"sec-purpose": "prefetch;prerender"}, True),
        ({"purpose": "prefetch"}, True),
        ({"x-moz": "prefetch"}, True),
        ({"accept-language": ""}, True),
        ({"accept-language": "", "sec-fetch-mode": ""}, True),
        ({"accept-language": "", "user-agent": "Firefox"}, False),
    ],
)
async def test_headers_that_no_reader_sends_mark_a_bot(changes: dict[str, str], is_bot: bool) -> None:
    site = Collecting()
    await site.track("a", {**FIREFOX, **changes})
    assert ("bot:headers" in site.log.records[0].get("marks", [])) is is_bot


async def test_a_server_may_leave_out_what_browsers_send() -> None:
    site = Collecting()
    await site.track("a", {"user-agent": "Mozilla/5.0"})
    assert "bot:headers" not in site.log.records[0].get("marks", [])


def test_holders_are_bounded_and_forgotten_after_their_minute() -> None:
    now = [BEGIN]
    limits = HolderLimits(LimitSettings(person_events_per_minute=1), lambda: now[0])
    for number in range(HOLDERS_MAX):
        limits.take(PERSON, "key_1", str(number), 1)
    for _ in range(3):
        limits.take(PERSON, "key_1", "one too many to be counted", 1)
    with pytest.raises(TooManyRequestsException):
        limits.take(PERSON, "key_1", "0", 1)
    now[0] += 60
    limits.take(PERSON, "key_1", "0", 1)


def test_a_limit_of_zero_is_no_limit_and_keys_are_apart() -> None:
    limits = HolderLimits(LimitSettings(person_events_per_minute=0, address_events_per_minute=1), lambda: BEGIN)
    for _ in range(10):
        limits.take(PERSON, "key_1", "p", 1_000)
    limits.take(ADDRESS, "key_1", "1.2.3.4", 1)
    limits.take(ADDRESS, "key_2", "1.2.3.4", 1)
