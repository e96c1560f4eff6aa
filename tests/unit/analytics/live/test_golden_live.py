"""The golden files of live messages are what the hub sends, and the Python reducer makes the fresh answers of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rtaplatform.client.reducer import apply_message
from tests.golden.live_worlds import FOLDER, WORLDS, World, write_world


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
async def test_a_golden_file_is_what_the_hub_sends(world: World) -> None:
    """`python -m tests.golden.live_worlds` writes them again."""
    assert (FOLDER / f"{world.name}.json").read_text() == await write_world(world)


def test_there_is_no_other_golden_file() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == {world.name for world in WORLDS}


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_the_reducer_makes_the_fresh_answers(world: World) -> None:
    answers: list[dict[str, Any]] = []
    for step in json.loads((FOLDER / f"{world.name}.json").read_text())["steps"]:
        answers = apply_message(answers, step["message"])
        assert answers == step["answers"]


def test_every_kind_of_message_and_of_change_occurs() -> None:
    steps = [step for world in WORLDS for step in json.loads((FOLDER / f"{world.name}.json").read_text())["steps"]]
    updates = [update for step in steps if step["message"]["type"] == "update" for update in step["message"]["answers"]]
    assert {step["message"]["type"] for step in steps} == {"snapshot", "update", "resumed"}
    assert any(update["removed"] for update in updates)
    assert any("order" in update for update in updates)
    assert any(update["index"] for update in updates)
