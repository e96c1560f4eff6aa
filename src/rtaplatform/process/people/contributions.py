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

from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.rollups import ACTIVES, CHANGES, FALLING, LENGTHS, RETENTION, SESSION_LENGTHS, SESSIONS, field
from rtaplatform.core.time.buckets import MINUTE_MS, BucketKind, bucket_starts
from rtaplatform.core.time.session_lengths import length_index
from rtaplatform.process.people.local_days import day_bucket, first_of_week, local_day
from rtaplatform.process.people.person_value import MASK_DAYS, Person, aligned_mask
from rtaplatform.process.people.sessions import HAS_ADD, HAS_ORDER, Session
from rtaplatform.store.port import CellsKey

AGE_DAYS_MAX = 400
WEEK_DAYS, MONTH_DAYS = 7, 30
Cells = dict[CellsKey, dict[str, int]]
SessionPlace = tuple[int, str, str, str]  # the minute of its start, source, country, device


class Days(NamedTuple):
    """The active days of a person, counted back from one day, and the day on which the person was first seen."""

    mask: int
    first: int


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
        self._sessions: defaultdict[SessionPlace, list[int]] = defaultdict(lambda: [0] * len(SESSIONS.measures))
        self._lengths: defaultdict[tuple[SessionPlace, int], int] = defaultdict(int)

    def change(self, before: Sequence[Person], after: Person) -> None:
        """Persons become one: two by a link, one by events, none where somebody is new."""
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
        self._changes[
            (newest_day, tuple(self._days_of(p, newest_day) for p in before), self._days_of(after, newest_day))
        ] += 1

    def _days_of(self, person: Person, newest_day: int) -> Days:
        return Days(aligned_mask(person, newest_day), local_day(person.first_ms // MINUTE_MS, self._project.zone))

    # active days -----------------------------------------------------------------------------------------------

    def _change_days(self, newest_day: int, before: Sequence[Days], after: Days, persons: int) -> None:
        for measure, width in (("dau", 1), ("wau", WEEK_DAYS), ("mau", MONTH_DAYS)):
            had = [covered_days(days.mask, width) for days in before]
            for bit, n in _changes(had, covered_days(after.mask, width)):
                self._days[(measure, newest_day + MONTH_DAYS - 1 - bit)] += n * persons

    # first days and what follows -------------------------------------------------------------------------------

    def _change_cohorts(self, newest_day: int, before: Sequence[Days], after: Days, persons: int) -> None:
        for days, n in (*((days, -persons) for days in before), (after, persons)):
            self._count_cohorts(days, newest_day, n)

    def _count_cohorts(self, days: Days, newest_day: int, n: int) -> None:
        first = days.first
        week = first_of_week(first, self._project.week_start)
        self._days[("new", first)] += n
        self._cohorts[("d0", first)] += n
        self._cohorts[("w0", week)] += n
        ages = [day - first for day in days_of(days.mask, newest_day) if first < day <= first + AGE_DAYS_MAX]
        for age in ages:
            self._cohorts[(f"d{age}", first)] += n
        for weeks in {(first + age - week) // WEEK_DAYS for age in ages} - {0}:
            self._cohorts[(f"w{weeks}", week)] += n

    # sessions --------------------------------------------------------------------------------------------------

    def _change_sessions(self, before: Sequence[Session], after: Sequence[Session]) -> None:
        """What has not changed is the same object. Most often a session is new, or only the last one has grown."""
        count_before = len(before)
        if before and len(after) == count_before and all(map(is_, before[:-1], after)):
            self._grow_session(before[-1], after[-1])
            return
        if len(after) == count_before + 1 and all(map(is_, before, after)):
            self._count_session(after[-1], 1)
            return
        had, has = set(map(id, before)), set(map(id, after))
        for session in before:
            if id(session) not in has:
                self._count_session(session, -1)
        for session in after:
            if id(session) not in had:
                self._count_session(session, 1)

    def _grow_session(self, old: Session, new: Session) -> None:
        """Events were added to a session."""
        if old is new:
            return
        place, index, index_before = _place_of(new), length_index(new.length_ms), length_index(old.length_ms)
        if new.flags != old.flags or place != _place_of(old):
            self._count_session(old, -1)
            self._count_session(new, 1)
            return
        sums = self._sessions[place]
        sums[1] += new.events - old.events
        sums[2] += new.length_ms - old.length_ms
        sums[3] -= old.events == 1
        if index != index_before:
            self._lengths[(place, index_before)] -= 1
            self._lengths[(place, index)] += 1

    def _count_session(self, session: Session, n: int) -> None:
        place = _place_of(session)
        sums = self._sessions[place]
        sums[0] += n
        sums[1] += n * session.events
        sums[2] += n * session.length_ms
        sums[3] += n * (session.events == 1)
        if session.flags:
            has_order, has_add = bool(session.flags & HAS_ORDER), bool(session.flags & HAS_ADD)
            sums[4] += n * has_order
            sums[5] += n * has_add
            sums[6] += n * (has_order and has_add)
        self._lengths[(place, length_index(session.length_ms))] += n

    # cells -----------------------------------------------------------------------------------------------------

    def cells(self) -> Cells:
        """To be called once."""
        for (newest_day, before, after), persons in self._changes.items():
            self._change_days(newest_day, before, after, persons)
            self._change_cohorts(newest_day, before, after, persons)
        cells: defaultdict[CellsKey, dict[str, int]] = defaultdict(dict)
        slug, zone = self._project.slug, self._project.zone
        for rollup, sums in ((ACTIVES, self._days), (RETENTION, self._cohorts)):
            for (measure, day), n in sums.items():
                start = day_bucket(day, zone)
                if n and start is not None:
                    cells[CellsKey(slug, rollup.name, BucketKind.DAY, start)][measure] = n
        for place, values in self._sessions.items():
            self._spread(cells, place, [(m, n) for m, n in zip(SESSIONS.measures, values, strict=True) if n])
        for (place, index), n in self._lengths.items():
            if n:
                self._spread_length(cells, place, index, n)
        for key, fields in cells.items():
            if key.rollup in FALLING and fields:
                fields[CHANGES] = 1
        return cells

    def _spread(self, cells: Cells, place: SessionPlace, sums: Sequence[tuple[str, int]]) -> None:
        minute, *dimensions = place
        fields = [(name, n) for measure, n in sums for name in (measure, field(measure, *dimensions))]
        for kind, start in zip(BucketKind, bucket_starts(minute, self._project.zone), strict=True):
            _add(cells[CellsKey(self._project.slug, SESSIONS.name, kind, start)], fields)

    def _spread_length(self, cells: Cells, place: SessionPlace, index: int, n: int) -> None:
        minute, *dimensions = place
        starts = bucket_starts(minute, self._project.zone)
        for rollup, values in ((LENGTHS, ()), (SESSION_LENGTHS, dimensions)):
            fields = [("sessions", n), (field("sessions", str(index), *values), n)]
            for kind, start in ((BucketKind.HOUR, starts.hour), (BucketKind.DAY, starts.day)):
                _add(cells[CellsKey(self._project.slug, rollup.name, kind, start)], fields)


def _place_of(session: Session) -> SessionPlace:
    return session.start_ms // MINUTE_MS, session.source, session.country, session.device


def covered_days(mask: int, width: int) -> int:
    """The days that active ones cover, each with those after it. Bit MONTH_DAYS - 1 is the newest active day."""
    covered = mask << (MONTH_DAYS - 1)
    done = 1
    while done < width:
        step = min(done, width - done)
        covered |= covered >> step
        done += step
    return covered


def days_of(mask: int, newest_day: int) -> list[int]:
    return [newest_day - back for back in range(MASK_DAYS) if mask >> back & 1]


def _changes(had: Sequence[int], has: int) -> Iterator[tuple[int, int]]:
    """Which bits are set more or less often than before, and by how much. All of `had` is in `has`."""
    new, twice, seen = has, 0, 0
    for bits in had:
        new &= ~bits
        twice |= seen & bits  # of two at most
        seen |= bits
    for bits, n in ((new, 1), (twice, -1)):
        while bits:
            lowest = bits & -bits
            yield lowest.bit_length() - 1, n
            bits ^= lowest


def _add(into: dict[str, int], fields: Sequence[tuple[str, int]]) -> None:
    for name, n in fields:
        into[name] = into.get(name, 0) + n
