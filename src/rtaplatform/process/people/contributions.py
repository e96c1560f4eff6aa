"""What a person adds to the totals.   Pure.   Stage 3 of 6.

All totals of people are sums over persons. So a change of a person adds what he contributes after it, less what he
did before; a link adds what the united person contributes, less what both did. What a value has let go of, because it
is old, stays counted.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from operator import is_
from typing import NamedTuple

from msgspec import Struct

from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.rollups import (
    ACTIVES,
    CHANGES,
    FALLING,
    LENGTHS,
    ORIGINS,
    RETENTION,
    SESSION_LENGTHS,
    SESSIONS,
    make_field,
)
from rtaplatform.core.time.buckets import MINUTE_MS, BucketKind, find_bucket_starts
from rtaplatform.core.time.session_lengths import find_length_index
from rtaplatform.process.people.local_days import find_day_bucket, find_first_of_week, find_local_day
from rtaplatform.process.people.orders import OrderMade
from rtaplatform.process.people.person_value import MASK_DAYS, Person, align_mask
from rtaplatform.process.people.sessions import HAS_ADD, HAS_ORDER, Session
from rtaplatform.process.people.visit_totals import NO_ORIGIN, Cells, VisitTotals
from rtaplatform.store.port import CellsKey

AGE_DAYS_MAX = 400
WEEK_DAYS, MONTH_DAYS = 7, 30
SessionPlace = tuple[int, str, str, str, str]  # the minute of its start, source, country, device, origin


class Days(NamedTuple):
    """The active days of a person, counted back from one day, and the day on which the person was first seen."""

    mask: int
    first: int


class SessionSums(Struct, gc=False):
    """What changes in the sessions of a place: the measures of their rollup, and how many have each length index."""

    lengths: defaultdict[int, int]
    sessions: int = 0
    events: int = 0
    duration_ms: int = 0
    bounces: int = 0
    with_order: int = 0
    with_add: int = 0
    with_add_and_order: int = 0


class PeopleTotals:
    """The changes of one project's totals that a batch of persons makes.

    Most persons of a batch change alike: it is their first event, on the same day. So changes are counted first, and
    only what differs is spread over days.
    """

    def __init__(self, project: ProjectSettings) -> None:
        self._project = project
        self._changes: Counter[tuple[int, tuple[Days, ...], Days]] = Counter()  # (newest day, before, after)
        self._days: defaultdict[tuple[str, int], int] = defaultdict(int)  # (measure, day)
        self._cohorts: defaultdict[tuple[str, int], int] = defaultdict(int)  # (measure, first day or week's first day)
        self._sessions: dict[SessionPlace, SessionSums] = {}
        self._visits = VisitTotals(project)

    def change(self, before: Sequence[Person], after: Person) -> None:
        """Persons become one: two by a link, one by events, none where somebody is new."""
        if after.orders:
            self._visits.change_orders(before, after)
        if len(before) == 1:
            was = before[0]
            if was.sessions is not after.sessions:
                self._change_sessions(was.sessions, after.sessions)
            # Most often it is a day on which the person was active already.
            if was.mask == after.mask and was.newest_day == after.newest_day and was.first_ms == after.first_ms:
                return
        else:
            self._change_sessions([session for person in before for session in person.sessions], after.sessions)
        newest_day = after.newest_day
        days_before = tuple([self._make_days(person, newest_day) for person in before])
        self._changes[(newest_day, days_before, self._make_days(after, newest_day))] += 1

    def count_order(self, order: OrderMade) -> None:
        """An order that belongs to no session."""
        self._visits.count_order(order, "", 1)

    def _make_days(self, person: Person, newest_day: int) -> Days:
        return Days(align_mask(person, newest_day), find_local_day(person.first_ms // MINUTE_MS, self._project.zone))

    # active days -----------------------------------------------------------------------------------------------

    def _change_days(self, newest_day: int, before: Sequence[Days], after: Days, persons: int) -> None:
        for measure, width in (("dau", 1), ("wau", WEEK_DAYS), ("mau", MONTH_DAYS)):
            covers_before = [cover_days(days.mask, width) for days in before]
            for bit, n in _list_changed_bits(covers_before, cover_days(after.mask, width)):
                self._days[(measure, newest_day + MONTH_DAYS - 1 - bit)] += n * persons

    # first days and what follows -------------------------------------------------------------------------------

    def _change_cohorts(self, newest_day: int, before: Sequence[Days], after: Days, persons: int) -> None:
        for days, n in (*((days, -persons) for days in before), (after, persons)):
            self._count_cohorts(days, newest_day, n)

    def _count_cohorts(self, days: Days, newest_day: int, n: int) -> None:
        first = days.first
        week = find_first_of_week(first, self._project.week_start)
        self._days[("new", first)] += n
        self._cohorts[("d0", first)] += n
        self._cohorts[("w0", week)] += n
        ages = [day - first for day in list_days(days.mask, newest_day) if first < day <= first + AGE_DAYS_MAX]
        for age in ages:
            self._cohorts[(f"d{age}", first)] += n
        for weeks in {(first + age - week) // WEEK_DAYS for age in ages} - {0}:
            self._cohorts[(f"w{weeks}", week)] += n

    # sessions --------------------------------------------------------------------------------------------------

    def _change_sessions(self, before: Sequence[Session], after: Sequence[Session]) -> None:
        """What has not changed is the same object. Most often a session is new, or only the last one has grown."""
        count, more = len(before), len(after) - len(before)
        if not more and count and (count == 1 or all(map(is_, before[:-1], after))):
            self._grow_session(before[-1], after[-1])
            return
        if more == 1 and (not count or all(map(is_, before, after))):
            self._count_session(after[-1], 1)
            return
        ids_before, ids_after = set(map(id, before)), set(map(id, after))
        for session in before:
            if id(session) not in ids_after:
                self._count_session(session, -1)
        for session in after:
            if id(session) not in ids_before:
                self._count_session(session, 1)

    def _grow_session(self, old: Session, new: Session) -> None:
        """Events were added to a session."""
        if old is new:
            return
        if new.flags != old.flags or not _begins_like(new, old):
            self._count_session(old, -1)
            self._count_session(new, 1)
            return
        if new.exit_page != old.exit_page:
            self._visits.move_exit(old, new)
        at, length_ms, old_length_ms = self._open_sums(_make_place(new)), new.length_ms, old.length_ms
        at.events += new.events - old.events
        at.duration_ms += length_ms - old_length_ms
        at.bounces -= old.events == 1
        index, old_index = find_length_index(length_ms), find_length_index(old_length_ms)
        if index != old_index:
            at.lengths[old_index] -= 1
            at.lengths[index] += 1

    def _count_session(self, session: Session, n: int) -> None:
        at, flags = self._open_sums(_make_place(session)), session.flags
        at.sessions += n
        at.events += n * session.events
        at.duration_ms += n * session.length_ms
        at.bounces += n * (session.events == 1)
        if flags:
            at.with_order += n * bool(flags & HAS_ORDER)
            at.with_add += n * bool(flags & HAS_ADD)
            at.with_add_and_order += n * (flags == HAS_ORDER | HAS_ADD)
        at.lengths[find_length_index(session.length_ms)] += n
        self._visits.count_pages(session, n)

    def _open_sums(self, place: SessionPlace) -> SessionSums:
        sums = self._sessions.get(place)
        if sums is None:
            sums = self._sessions[place] = SessionSums(defaultdict(int))
        return sums

    # cells -----------------------------------------------------------------------------------------------------

    def make_cells(self) -> Cells:
        """To be called once."""
        for (newest_day, before, after), persons in self._changes.items():
            self._change_days(newest_day, before, after, persons)
            self._change_cohorts(newest_day, before, after, persons)
        cells: defaultdict[CellsKey, dict[str, int]] = defaultdict(dict)
        slug, zone = self._project.slug, self._project.zone
        for rollup, sums in ((ACTIVES, self._days), (RETENTION, self._cohorts)):
            for (measure, day), n in sums.items():
                start = find_day_bucket(day, zone)
                if n and start is not None:
                    cells[CellsKey(slug, rollup.name, BucketKind.DAY, start)][measure] = n
        for place, sums_of_place in self._sessions.items():
            self._spread(cells, place, sums_of_place)
        self._visits.add_to(cells)
        for key, fields in cells.items():
            if key.rollup in FALLING and fields:
                fields[CHANGES] = 1
        return cells

    def _spread(self, cells: Cells, place: SessionPlace, sums: SessionSums) -> None:
        """Add the sums of a place to its buckets. Lengths have none of the minute."""
        minute, *dimensions, origin = place
        slug, starts = self._project.slug, find_bucket_starts(minute, self._project.zone)
        measures = [(measure, n) for measure in SESSIONS.measures if (n := getattr(sums, measure))]
        self._visits.spread(cells, ORIGINS.name, minute, measures, origin or NO_ORIGIN)
        fields = [(name, n) for measure, n in measures for name in (measure, make_field(measure, *dimensions))]
        for kind, start in zip(BucketKind, starts, strict=True):
            _add(cells[CellsKey(slug, SESSIONS.name, kind, start)], fields)
        lengths = [(str(index), n) for index, n in sums.lengths.items() if n]
        total = ("sessions", sum(n for _, n in lengths))
        for rollup, values in ((LENGTHS, ()), (SESSION_LENGTHS, dimensions)) if lengths else ():
            fields = [total, *((make_field("sessions", index, *values), n) for index, n in lengths)]
            for kind, start in ((BucketKind.HOUR, starts.hour), (BucketKind.DAY, starts.day)):
                _add(cells[CellsKey(slug, rollup.name, kind, start)], fields)


def _make_place(session: Session) -> SessionPlace:
    return session.start_ms // MINUTE_MS, session.source, session.country, session.device, session.origin


def _begins_like(session: Session, other: Session) -> bool:
    return (
        session.start_ms == other.start_ms
        and session.source == other.source
        and session.country == other.country
        and session.device == other.device
        and session.origin == other.origin
        and session.entry_page == other.entry_page
    )


def cover_days(mask: int, width: int) -> int:
    """The days that active ones cover, each with those after it. Bit MONTH_DAYS - 1 is the newest active day."""
    cover = mask << (MONTH_DAYS - 1)
    day_count = 1
    while day_count < width:
        step = min(day_count, width - day_count)
        cover |= cover >> step
        day_count += step
    return cover


def list_days(mask: int, newest_day: int) -> list[int]:
    return [newest_day - back for back in range(MASK_DAYS) if mask >> back & 1]


def _list_changed_bits(masks_before: Sequence[int], mask_after: int) -> Iterator[tuple[int, int]]:
    """Which bits are set more or less often than before, and by how much. All of `masks_before` is in `mask_after`."""
    new, twice, earlier_bits = mask_after, 0, 0
    for bits in masks_before:
        new &= ~bits
        twice |= earlier_bits & bits  # of two at most
        earlier_bits |= bits
    for bits, n in ((new, 1), (twice, -1)):
        while bits:
            lowest = bits & -bits
            yield lowest.bit_length() - 1, n
            bits ^= lowest


def _add(into: dict[str, int], fields: Sequence[tuple[str, int]]) -> None:
    for name, n in fields:
        into[name] = into.get(name, 0) + n
