"""Answers about people in the simulated world, and planted bugs of what is kept between questions."""

from __future__ import annotations

import pytest

from rtaplatform.analytics.cache.value_totals import ValueTotals
from rtaplatform.analytics.cache.window_cache import WindowCache
from rtaplatform.analytics.cache.window_caches import WindowCaches
from rtaplatform.analytics.plan.plan import QueryPlan
from tests.simulation.answered_world import AnsweredWorld

SEEDS_MAX = 12


def test_answers_are_a_recount_through_crashes_repeats_and_roll_backs(seed_of_people: int) -> None:
    world = AnsweredWorld(seed_of_people)
    wrong = world.run()
    assert not wrong, f"seed {seed_of_people}: {len(wrong)} differences, the first:\n" + "\n".join(wrong[:20])


class GoesByTheNumbers(WindowCaches):
    """A bucket is taken for unchanged where as many sessions as before begin in it."""

    def find(self, plan: QueryPlan) -> WindowCache | None:
        window = super().find(plan)
        if isinstance(window, ValueTotals):
            window._totals = ("sessions",)
        return window


@pytest.mark.tester
def test_a_planted_bug_of_what_is_kept_is_found() -> None:
    assert any(AnsweredWorld(seed, windows=GoesByTheNumbers).run() for seed in range(SEEDS_MAX))
