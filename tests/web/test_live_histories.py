"""Snapshot + updates == fresh answer, in the dashboard's own reducer, over any history of a subscription.

The pain: the golden files hold the cases that somebody thought of.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from tests.golden.live_histories import HISTORIES, History, live_through
from tests.web.dashboard_copy import run_in

Reduce = Callable[[list[Any]], Any]


@pytest.fixture(scope="module")
def reduce_messages(dashboard: Path) -> Iterator[Reduce]:
    """The reducer in Node: the messages of a subscription → the answers after each of them."""
    program = dashboard / "node_modules" / "reduce_lines.mjs"
    run_in(
        dashboard, "npx", "esbuild", "test/reduce_lines.ts", "--bundle", "--format=esm", "--platform=node",
        f"--outfile={program}",
    )  # fmt: skip
    with subprocess.Popen(["node", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as node:
        assert node.stdin is not None
        assert node.stdout is not None
        requests, replies = node.stdin, node.stdout

        def ask(messages: list[Any]) -> Any:
            requests.write(json.dumps(messages) + "\n")
            requests.flush()
            return json.loads(replies.readline())

        yield ask
        requests.close()


def test_the_pages_hold_the_fresh_answers_over_any_history(reduce_messages: Reduce) -> None:
    """Over reconnects, windows that move and jump, daylight saving, and new generations."""
    types = set[str]()

    @settings(max_examples=150, deadline=None)
    @given(HISTORIES)
    def check(history: History) -> None:
        steps = asyncio.run(live_through(history)).steps
        types.update(step["message"]["type"] for step in steps)
        assert reduce_messages([step["message"] for step in steps]) == [step["answers"] for step in steps]

    check()
    assert types == {"snapshot", "update", "resumed"}
