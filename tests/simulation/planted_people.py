"""Planted bugs of people: each would give another total, another value, or somebody online twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import structs

from rtaplatform.core.projects import ProjectSettings
from rtaplatform.process.decode.fast import DecodedEvent, EventDimensions
from rtaplatform.process.fold.person_state import PersonKey, PersonNames, PersonStates
from rtaplatform.process.people.contributions import Days, PeopleTotals
from rtaplatform.process.people.people_fold import PeopleBatch, PeopleFold
from rtaplatform.process.people.person_value import MASK, CollectedEvents, Person, without_old_sessions
from rtaplatform.process.people.sessions import Session
from rtaplatform.process.people.visit_totals import VisitTotals
from tests.simulation.people_world import PeopleWorld
from tests.simulation.planted import make_home
from tests.simulation.planted_shared import AbsentIsAnyVersion, PersonsNotCompared, TokensStay
from tests.simulation.scripted import TwoMeetSomebodyNew
from tests.simulation.world import World

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


class PlantedFold(PeopleFold):
    """A fold with another batch, or with other totals."""

    batch: type[PeopleBatch] = PeopleBatch
    totals: type[PeopleTotals] = PeopleTotals

    def begin(self, projects: Mapping[str, ProjectSettings], persons: PersonStates) -> PeopleBatch:
        return self.batch(projects, persons, self.totals)


# Links -------------------------------------------------------------------------------------------------------------


class LinkAppliedTwice(PlantedFold):
    """What a link changes is counted once more."""

    class batch(PeopleBatch):  # noqa: N801
        def _unite(self, project: str, other: Person, anonymous: bytes, user: bytes, linked_ms: int) -> None:
            before = self._read_value((project, user))
            super()._unite(project, other, anonymous, user, linked_ms)
            after = self._read_value((project, user))
            if isinstance(before, Person) and isinstance(after, Person):
                self._open_totals(project).change((before, other), after)


class HistoryStaysCounted(PlantedFold):
    """What the anonymous id has contributed is not taken back."""

    class totals(PeopleTotals):  # noqa: N801
        def change(self, before: Sequence[Person], after: Person) -> None:
            super().change(before[:1], after)


class HistoryIsForgotten(PlantedFold):
    """The user begins anew where the link is."""

    class batch(PeopleBatch):  # noqa: N801
        def _unite(self, project: str, other: Person, anonymous: bytes, user: bytes, linked_ms: int) -> None:
            """Nothing becomes the user's."""


class LinksAreForgotten(PlantedFold):
    """An event with both ids is the user's, and the next one without a user is somebody else's again."""

    class batch(PeopleBatch):  # noqa: N801
        def _link(self, project: str, anonymous: bytes, user: bytes, events: CollectedEvents) -> None:
            """Nobody is linked."""


class CanonicalIsTheUser(PlantedFold):
    """A login makes another visitor of the one who is there."""

    class batch(PeopleBatch):  # noqa: N801
        def _give(self, project: str, person: bytes, seen_as: bytes, events: CollectedEvents) -> None:
            super()._give(project, person, b"", events)


class OldIdStaysOnline(PlantedFold):
    """Who has logged in is online twice."""

    class batch(PeopleBatch):  # noqa: N801
        def settle(self, orders: Any = ()) -> PersonNames:
            names = super().settle(orders)
            names.left_online.clear()
            return names


# Days --------------------------------------------------------------------------------------------------------------


class MaskShiftedByOneMore(PlantedFold):
    """A new day moves the older ones one day too far."""

    class batch(PeopleBatch):  # noqa: N801
        def _change(self, key: PersonKey, person: Person) -> None:
            before = self._values.get(key)
            if isinstance(before, Person) and before.newest_day < person.newest_day:
                person = structs.replace(person, mask=(person.mask & ~1) << 1 & MASK | 1)
            super()._change(key, person)


class DayInTheWrongZone(PlantedFold):
    """Days are those of UTC."""

    class batch(PeopleBatch):  # noqa: N801
        def __init__(self, projects: Mapping[str, ProjectSettings], *more: Any) -> None:
            super().__init__({slug: structs.replace(p, zone="UTC") for slug, p in projects.items()}, *more)


class WindowsCountEachDay(PlantedFold):
    """Who is active on two days of a week counts twice in it."""

    class totals(PeopleTotals):  # noqa: N801
        def _change_days(self, newest_day: int, before: Sequence[Days], after: Days, persons: int) -> None:
            super()._change_days(newest_day, (), after, persons)


class CohortDoesNotMove(PlantedFold):
    """A late first event leaves the person in the cohort of a later day."""

    class totals(PeopleTotals):  # noqa: N801
        def _change_cohorts(self, newest_day: int, before: Sequence[Days], after: Days, persons: int) -> None:
            if len(before) == 1:
                after = after._replace(first=before[0].first)
            super()._change_cohorts(newest_day, before, after, persons)


class FirstReadIsFirstSeen(PlantedFold):
    """An earlier event does not move when a person was first seen."""

    class batch(PeopleBatch):  # noqa: N801
        def _change(self, key: PersonKey, person: Person) -> None:
            before = self._values.get(key)
            first_ms = before.first_ms if isinstance(before, Person) else person.first_ms
            super()._change(key, structs.replace(person, first_ms=first_ms))


# Sessions ----------------------------------------------------------------------------------------------------------


class MinusOneForgotten(PlantedFold):
    """A session that has grown is counted beside what it was."""

    class totals(PeopleTotals):  # noqa: N801
        def _count_session(self, session: Session, n: int) -> None:
            if n > 0:
                super()._count_session(session, n)


class SessionSplitAtMidnight(PlantedFold):
    """Nothing of the day before is joined."""

    class batch(PeopleBatch):  # noqa: N801
        def _give(self, project: str, person: bytes, seen_as: bytes, events: CollectedEvents) -> None:
            by_day: dict[int, list[DecodedEvent]] = {}
            for event in sorted(events, key=lambda event: event.time_ms):
                by_day.setdefault(event.time_ms // DAY, []).append(event)
            for day, part in by_day.items():
                value = self._read_value((project, person))
                if isinstance(value, Person):
                    sessions_of_day = [s for s in value.sessions if s.start_ms // DAY == day]
                    self._values[(project, person)] = structs.replace(value, sessions=sessions_of_day)
                super()._give(project, person, seen_as, part)


class SessionsEndAtTheBatch(PlantedFold):
    """A batch begins new sessions."""

    class batch(PeopleBatch):  # noqa: N801
        def _change(self, key: PersonKey, person: Person) -> None:
            super()._change(key, structs.replace(person, sessions=[]))


class SessionsForgottenTooSoon(PlantedFold):
    """What ended three hours ago cannot be joined any more."""

    class batch(PeopleBatch):  # noqa: N801
        def _change(self, key: PersonKey, person: Person) -> None:
            until_ms = person.newest_ms - 3 * HOUR
            sessions = [session for session in person.sessions if session.end_ms >= until_ms]
            super()._change(key, structs.replace(without_old_sessions(person), sessions=sessions))


class ServersVisitPages(PlantedFold):
    """What a server tells is a part of the session."""

    class batch(PeopleBatch):  # noqa: N801
        def _give(self, project: str, person: bytes, seen_as: bytes, events: CollectedEvents) -> None:
            on_pages = [structs.replace(event, dimensions=_as_web(event.dimensions)) for event in events]
            super()._give(project, person, seen_as, on_pages)


class OnlyTheFirstOfABatch(PlantedFold):
    """Of the events of a person in a batch only the first is counted."""

    class batch(PeopleBatch):  # noqa: N801
        def _give(self, project: str, person: bytes, seen_as: bytes, events: CollectedEvents) -> None:
            super()._give(project, person, seen_as, events[:1])


# Origins and pages -------------------------------------------------------------------------------------------------


class PlantedVisits(PlantedFold):
    """A fold with other totals by origin and page."""

    visits: type[VisitTotals] = VisitTotals

    def begin(self, projects: Mapping[str, ProjectSettings], persons: PersonStates) -> PeopleBatch:
        visits = self.visits

        class Totals(PeopleTotals):
            def __init__(self, project: ProjectSettings) -> None:
                super().__init__(project)
                self._visits = visits(project)

        return self.batch(projects, persons, Totals)


class OrderBelongsToTheLastVisit(PlantedVisits):
    """An order is given to the visit that began last, not to the one in which it fell."""

    class visits(VisitTotals):  # noqa: N801
        def change_orders(self, before: Sequence[Person], after: Person) -> None:
            for person, n in (*((person, -1) for person in before), (after, 1)):
                for order in person.orders:
                    self.count_order(order, person.sessions[-1].origin if person.sessions else "", n)


class OrderStaysWhereItWas(PlantedVisits):
    """A late event that begins the visit does not move its order."""

    class visits(VisitTotals):  # noqa: N801
        def change_orders(self, before: Sequence[Person], after: Person) -> None:
            orders_before = [order for person in before for order in person.orders]
            new = [order for order in after.orders if order not in orders_before]
            super().change_orders((), structs.replace(after, orders=new))


class EntryIsCountedTwice(PlantedVisits):
    """After a late event both pages are entries."""

    class visits(VisitTotals):  # noqa: N801
        def count_pages(self, session: Session, n: int) -> None:
            super().count_pages(session, max(n, 0))


class ExitIsTheEntry(PlantedVisits):
    """The last page does not move as a session goes on."""

    class visits(VisitTotals):  # noqa: N801
        def move_exit(self, old: Session, new: Session) -> None:
            """Leave it."""


def _as_web(dimensions: EventDimensions) -> EventDimensions:
    return structs.replace(dimensions, source="web") if dimensions.source == "server" else dimensions


FOLDS = (
    LinkAppliedTwice, HistoryStaysCounted, HistoryIsForgotten, LinksAreForgotten, CanonicalIsTheUser, OldIdStaysOnline,
    MaskShiftedByOneMore, DayInTheWrongZone, WindowsCountEachDay, CohortDoesNotMove, FirstReadIsFirstSeen,
    MinusOneForgotten, SessionSplitAtMidnight, SessionsEndAtTheBatch, SessionsForgottenTooSoon, ServersVisitPages,
    OnlyTheFirstOfABatch, OrderBelongsToTheLastVisit, OrderStaysWhereItWas, EntryIsCountedTwice, ExitIsTheEntry,
)  # fmt: skip
STORES = (PersonsNotCompared, AbsentIsAnyVersion)
WORKERS = (TokensStay,)
PLANTS: tuple[type[Any], ...] = (*FOLDS, *STORES, *WORKERS)


SCRIPTED: dict[type[Any], type[World]] = {AbsentIsAnyVersion: TwoMeetSomebodyNew}  # what chance seldom finds


def make_planted_world(plant: type[Any], seed: int) -> World:
    """The world of a seed with the plant in it."""
    if plant in SCRIPTED:
        return SCRIPTED[plant](seed, home=make_home(plant))
    if plant in STORES:
        return PeopleWorld(seed, home=make_home(plant), steps=100)
    if plant in WORKERS:
        return PeopleWorld(seed, worker=plant, steps=100)
    return PeopleWorld(seed, fold=plant, steps=100)
