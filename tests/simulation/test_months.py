"""Months of late, repeated and out-of-order events of people: all totals, values and answers are the oracle's."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

import pytest
from msgspec import structs

from rtaplatform.core.events import PersonNote
from rtaplatform.process.fold.person_state import PersonKey, PersonNames
from rtaplatform.process.people.contributions import Days, PeopleTotals
from rtaplatform.process.people.people_fold import PeopleBatch
from rtaplatform.process.people.person_value import Person
from tests.simulation.months_asked import MonthsAsked, list_questions
from tests.simulation.months_world import MonthsWorld
from tests.simulation.planted_people import PlantedFold

TOO_LATE = {0: 40, 1: 40, 2: 0}  # by seed: how many events are later than what persons take
QUESTIONS_MIN = 30


@cache
def live(seed: int) -> tuple[MonthsWorld, tuple[str, ...]]:
    """A world that has ended, and all that was wrong with it."""
    world = MonthsWorld(seed, too_late=TOO_LATE[seed])
    return world, tuple(world.run())


@pytest.mark.parametrize("number", TOO_LATE)
def test_months_are_the_oracles_and_what_is_too_late_is_counted(number: int) -> None:
    world, wrong = live(number)
    assert not wrong, f"{len(wrong)} differences, the first:\n" + "\n".join(wrong[:20])
    assert world.home.read_totals().counts.get("demo|late_state", 0) == TOO_LATE[number]


@pytest.mark.parametrize("number", TOO_LATE)
async def test_every_answer_about_people_is_a_recount(number: int) -> None:
    months = MonthsAsked(live(number)[0])
    wrong = [line for question in list_questions(months) for line in await question()]
    assert not wrong, f"{len(wrong)} answers, the first:\n" + "\n".join(wrong[:20])
    assert months.questions >= QUESTIONS_MIN


@pytest.mark.parametrize("number", TOO_LATE)
def test_what_is_too_late_is_so_in_any_order_of_the_partitions(number: int) -> None:
    """So the oracle's number of late events is none of the order of arrival, in which no worker has read them."""
    world = live(number)[0]
    taken = world.take_in_other_orders()
    assert [of.late for of in taken] == [TOO_LATE[number]] * len(taken)
    assert Counter(taken[0].visits) == Counter(taken[1].visits)


def test_a_rebuild_of_months_is_what_was_there() -> None:
    """Where nothing is too late. What is depends on batches, and a rebuild has batches of days."""
    world = live(2)[0]
    assert world.rebuilds.finish(world.rebuilds.make_rebuild(fault_rate=0.0)) == []
    assert world.check() == []


def test_the_months_have_what_they_are_made_for() -> None:
    world = live(0)[0]
    counts, people = world.home.read_totals().counts, world.recount_truth().count_people("demo")
    assert counts["demo|duplicate"] > 30
    assert counts["demo|late_links"] > 3
    assert sum(len(people.find_days(person)) for person in people.persons) > 200
    assert world.outcomes["conflict of persons"] > 0
    assert world.outcomes["Moved"] > 0


# Planted bugs ------------------------------------------------------------------------------------------------------


class LateIsNotCounted(PlantedFold):
    """What comes too late is left out in silence."""

    class batch(PeopleBatch):  # noqa: N801
        def settle(self, orders: Any = ()) -> PersonNames:
            names = super().settle(orders)
            self.notes.pop(("demo", PersonNote.LATE_STATE), None)
            return names


class DaysAreKeptForAMonth(PlantedFold):
    """A value keeps no more active days than a window has."""

    class batch(PeopleBatch):  # noqa: N801
        def _change(self, key: PersonKey, person: Person) -> None:
            super()._change(key, structs.replace(person, mask=person.mask & (1 << 30) - 1))


class NobodyComesBackAfterAMonth(PlantedFold):
    """A cohort has no ages over 30 days."""

    class totals(PeopleTotals):  # noqa: N801
        def _count_cohorts(self, days: Days, newest_day: int, n: int) -> None:
            recent = min(newest_day, days.first + 30)
            super()._count_cohorts(Days(days.mask >> (newest_day - recent), days.first), recent, n)


@pytest.mark.tester
@pytest.mark.parametrize("plant", [LateIsNotCounted, DaysAreKeptForAMonth, NobodyComesBackAfterAMonth])
def test_a_planted_bug_of_months_is_found(plant: type[PlantedFold]) -> None:
    assert MonthsWorld(0, too_late=TOO_LATE[0], fold=plant).run(), plant.__doc__
