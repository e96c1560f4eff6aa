"""What the health of an API means, in lines for a person."""

from __future__ import annotations

import pytest

from rtaplatform.local.supervisor.readiness import Readiness, list_problems, read_readiness


@pytest.mark.parametrize(
    ("detail", "lines"),
    [
        ({"servers": {"redis": "answers"}, "freshness": {"stops": {}, "torn": []}}, []),
        ({"servers": {"redis": "redis: READONLY", "kafka": "does not answer"}},
         ["redis: READONLY", "kafka: does not answer"]),
        ({"freshness": {"stops": {"0/shard 0": "lost"}, "torn": [1], "unknown": "redis: away"}},
         ["stopped: 0/shard 0: lost", "shard 1 is only partly written: `rta rebuild`", "unknown: redis: away"]),
        ("not an object", []),
        ({"servers": None, "freshness": []}, []),
    ],
)  # fmt: skip
def test_each_thing_that_is_wrong_is_a_line(detail: object, lines: list[str]) -> None:
    assert list_problems(detail) == lines


def test_an_api_that_is_away_is_said_with_the_reason() -> None:
    assert read_readiness("http://127.0.0.1:1") == Readiness(
        False, ("the API does not answer ([Errno 111] Connection refused)",)
    )
