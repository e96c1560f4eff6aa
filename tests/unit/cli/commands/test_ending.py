"""How the API's process ends when a work of its own has died."""

from __future__ import annotations

import threading

from rtaplatform.cli.commands.api import ApiEnding


def test_a_death_asks_for_a_stop_and_an_exit_code_that_is_no_success() -> None:
    ending = ApiEnding(exit_now=lambda code: None)
    ending.note_death()
    assert ending.stop.is_set()
    assert ending.exit_code == 1


def test_a_stop_that_hangs_after_a_death_ends_all_the_same() -> None:
    codes: list[int] = []
    has_ended = threading.Event()

    def exit_now(code: int) -> None:
        codes.append(code)
        has_ended.set()

    ending = ApiEnding(exit_now, seconds=0)
    ending.note_death()
    ending.note_death()  # others that die of the same do not begin a second end
    assert has_ended.wait(10)
    assert codes == [1]


def test_what_dies_while_a_stop_is_under_way_changes_nothing() -> None:
    ending = ApiEnding(exit_now=lambda code: None)
    ending.stop.set()
    ending.note_death()
    assert ending.exit_code == 0
