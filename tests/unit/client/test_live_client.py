"""The Python client's live iterator: it resumes after cuts and ends by errors of the caller's only."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings

from rtaplatform.client.live import LiveLine, follow
from rtaplatform.client.problems import ApiProblem, ConnectionLost
from rtaplatform.client.questions import Question, read_answer
from tests.golden.live_histories import HISTORIES, History, live_through
from tests.golden.live_worlds import FOLDER, WORLDS, World

QUERY = {"metric": "events"}


class Script:
    """A server: one list of messages for each connection, which is then cut."""

    def __init__(self, *connections: list[Any]) -> None:
        self.connections = list(connections)
        self.sent, self.slept = list[Any](), list[float]()

    def connect(self) -> LiveLine:
        if not self.connections:
            raise ConnectionLost("The API cannot be reached.")
        return _Line(self, self.connections.pop(0))

    def follow(self, *queries: Any) -> Iterator[Any]:
        return follow(self.connect, queries or [QUERY], sleep=self.slept.append)


class _Line:
    def __init__(self, script: Script, messages: list[Any]) -> None:
        self._script, self._messages = script, iter(messages)

    def send(self, text: str) -> None:
        self._script.sent.append(json.loads(text))

    def receive(self) -> str:
        for message in self._messages:
            return json.dumps(message)
        raise ConnectionLost("The connection has ended.")

    def close(self) -> None: ...


def make_snapshot(version: str, total: int) -> Any:
    return {"type": "snapshot", "id": "live", "version": version, "answers": [{"metric": "events", "total": total}]}


def make_error(status: int) -> Any:
    return {"type": "error", "id": "live", "problem": {"status": status, "detail": "It is wrong.", "field": "query"}}


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_the_iterator_gives_the_fresh_answers_over_cuts(world: World) -> None:
    """Each `resumed` is the beginning of another connection."""
    content = json.loads((FOLDER / f"{world.name}.json").read_text())
    connections: list[list[Any]] = [[]]
    for step in content["steps"]:
        if step["message"]["type"] == "resumed":
            connections.append([])
        connections[-1].append(step["message"])
    script = Script(*connections)
    heard = [step["answers"] for step in content["steps"] if step["message"]["type"] != "resumed"]
    assert list(itertools.islice(script.follow(*content["queries"]), len(heard))) == heard
    assert len(script.sent) == len(connections)


@settings(max_examples=60, deadline=None)
@given(HISTORIES)
def test_the_iterator_gives_the_fresh_answers_over_any_history(history: History) -> None:
    """Over cuts with a version that is known, lost or old, moving windows, and new generations."""
    client = asyncio.run(live_through(history))
    edges = [0, *client.cuts, len(client.steps)]
    connections = [client.steps[start:end] for start, end in itertools.pairwise(edges)]
    script = Script(*([step["message"] for step in steps] for steps in connections))
    fresh = [step["answers"] for step in client.steps if step["message"]["type"] != "resumed"]
    assert list(itertools.islice(script.follow(*history.queries), len(fresh))) == fresh
    last_versions = [steps[-1]["message"]["version"] for steps in connections[:-1]]
    assert [subscription.get("since") for subscription in script.sent] == [None, *last_versions]


def test_a_cut_is_resumed_from_the_version_of_the_last_message() -> None:
    script = Script([make_snapshot("v1", 1), make_snapshot("v2", 2)], [make_snapshot("v3", 3)])
    assert [answers[0]["total"] for answers in itertools.islice(script.follow(), 3)] == [1, 2, 3]
    assert script.sent[0] == {"type": "subscribe", "id": "live", "query": [QUERY]}
    assert script.sent[1]["since"] == "v2"


def test_attempts_are_further_and_further_apart_until_one_succeeds() -> None:
    script = Script([], [], [], [], [make_snapshot("v1", 1)])
    assert next(script.follow())[0]["total"] == 1
    assert [pause <= longest for pause, longest in zip(script.slept, (0.25, 0.5, 1, 2), strict=True)] == [True] * 4


def test_a_goodbye_says_how_long_to_wait() -> None:
    script = Script([{"type": "bye", "retry_seconds": 2.5}], [make_snapshot("v1", 1)])
    next(script.follow())
    assert script.slept == [2.5]


def test_a_heartbeat_is_answered() -> None:
    script = Script([{"type": "hello"}, {"type": "heartbeat", "now": ""}, make_snapshot("v1", 1)])
    next(script.follow())
    assert script.sent[1] == {"type": "pong"}


def test_an_outage_is_waited_for_and_an_error_of_the_caller_is_raised() -> None:
    script = Script([make_snapshot("v1", 1), make_error(503), make_snapshot("v2", 2), make_error(422)])
    lives = script.follow()
    assert [next(lives)[0]["total"], next(lives)[0]["total"]] == [1, 2]
    with pytest.raises(ApiProblem, match=r"query: It is wrong\.") as raised:
        next(lives)
    assert raised.value.status == 422


def test_a_question_has_the_api_s_own_parameters() -> None:
    question = Question("orders", start="-7d", interval="day", filters={"source": ["web"]}, breakdown=["country"])
    assert question.to_json() == {
        "metric": "orders", "from": "-7d", "interval": "day", "filters": {"source": ["web"]}, "breakdown": ["country"],
    }  # fmt: skip


def test_an_answer_is_flat_records_for_a_data_frame() -> None:
    raw = json.loads((FOLDER / "an-hour-passes.json").read_text())["steps"][0]["answers"][0]
    records = list(read_answer(raw).list_records())
    assert set(records[0]) == {"source", "time", "orders"}
    assert sum(record["orders"] for record in records) == 2
    with pytest.raises(ValueError, match="breakdown"):
        _ = read_answer(raw).total
