"""Replays over HTTP, by the requests that the dashboard sends: for administrators, of their own letters."""

from __future__ import annotations

from typing import Any

from tests.unit.feed.test_letter_replay import Log, replay
from tests.unit.feed.test_letter_search import make_dead_letter
from tests.unit.serve.feed.test_letters_http import ADMIN
from tests.unit.serve.parts_of_tests import Site

LETTERS = (
    make_dead_letter(1),
    make_dead_letter(2, "time_in_future"),
    make_dead_letter(3),
    make_dead_letter(4, project="other"),
)


def make_site(log: Log) -> Site:
    built = Site(replay=replay(log, *LETTERS))
    built.keys.accesses["admin"] = ADMIN
    return built


def list_results(answer: Any) -> list[tuple[str, str]]:
    return [(item["id"], item["result"]) for item in answer["items"]]


async def test_one_letter_is_replayed_by_its_encoded_id() -> None:
    log = Log()
    reply = await make_site(log).ask("POST", "/v1/dead-letters/rta.events.web%3A0%3A1/replay", key="admin")
    assert (reply.status, list_results(reply.json)) == (200, [("rta.events.web:0:1", "replayed")])
    assert reply.json["items"][0]["detail"]
    assert [entry.origin for entry in log.replays] == ["rta.events.web:0:1"]


async def test_all_of_a_reason_are_replayed_and_each_is_answered() -> None:
    log = Log()
    reply = await make_site(log).ask("POST", "/v1/dead-letters/replay", key="admin", body={"reason": "unknown_type"})
    assert list_results(reply.json) == [("rta.events.web:0:1", "replayed"), ("rta.events.web:0:3", "replayed")]
    assert len(log.replays) == 2


async def test_a_letter_of_another_project_and_a_wrong_reason_are_refused_with_words() -> None:
    log = Log()
    foreign = await make_site(log).ask("POST", "/v1/dead-letters/rta.events.web%3A0%3A4/replay", key="admin")
    wrong = await make_site(log).ask("POST", "/v1/dead-letters/replay", key="admin", body={"reason": "bad_luck"})
    assert (foreign.status, wrong.status, wrong.json["field"]) == (404, 422, "reason")
    assert all(reply.json["title"] and reply.json["detail"] for reply in (foreign, wrong))
    assert log.replays == []


async def test_a_read_key_replays_nothing() -> None:
    log = Log()
    assert (await make_site(log).ask("POST", "/v1/dead-letters/replay", body={})).status == 403
    assert log.replays == []
