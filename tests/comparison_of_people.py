"""Numbers of people where a store says that the order of reading mattered: what holds in any order.

Each world compares people exactly, with `find_differences`, and then any exception that the oracle does not expect is a
difference. Some worlds are made to have exceptions, in an order of reading that nobody knows. They come here and count
in a tally how often people were compared exactly all the same; the test says how often that must be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace

from rtaplatform.core.rollups import PEOPLE, SEPARATOR
from tests.comparison import EXCEPTIONS, SketchName, Totals, find_differences

PEOPLE_NAMES = {rollup.name for rollup in PEOPLE}
WORLDS, EXACT = "worlds with people", "worlds whose people were compared exactly"
ORDER_MEASURES = ("orders", "units", "revenue", "other_currencies")
# One session is one of each of these, in the same hour and day.
SESSIONS_IN = (
    ("lengths", "sessions"), ("session_lengths", "sessions"), ("origins", "sessions"), ("session_pages", "entries"),
    ("session_pages", "exits"),
)  # fmt: skip
Fields = Mapping[str, int]


def find_differences_in_any_order(
    actual: Totals, expected: Totals, tally: Counter[str], *, sketches: Mapping[SketchName, int] | None = None
) -> list[str]:
    """Everything but people, and people too where neither side has exceptions; else what holds of people all the same.

    `sketches`: what stands for the sketches of a world with exceptions, if they depend on the order as well.
    """
    exceptions = _list_projects_with_exceptions(actual) | _list_projects_with_exceptions(expected)
    if any(name[1] in PEOPLE_NAMES for name in expected.cells):
        tally[WORLDS] += 1
        tally[EXACT] += not exceptions
    if not exceptions:
        return find_differences(actual, expected)
    lines = find_differences(
        replace(_leave_out_people(actual, exceptions), persons=actual.persons if sketches is None else dict(sketches)),
        _leave_out_people(expected, exceptions),
    )
    return lines + [line for project in sorted(exceptions) for line in find_broken_laws(actual, expected, project)]


def find_broken_laws(actual: Totals, expected: Totals, project: str) -> list[str]:
    """What holds of the people of a project whoever was read first, and does not hold here."""
    return [
        f"people of {project} in any order: {line}"
        for law in (_compare_orders, _compare_persons, _compare_events_of_sessions, _compare_days, _compare_rollups)
        for line in law(_select(actual, project), _select(expected, project))
    ]


class _Cells(dict[tuple[str, str, int], Fields]):
    """The cells of people of one project; its exceptions by name."""

    exceptions: Mapping[str, int]

    def sum_days(self, rollup: str, measure: str) -> int:
        return sum(fields.get(measure, 0) for (name, kind, _), fields in self.items() if (name, kind) == (rollup, "d"))


def _compare_orders(actual: _Cells, expected: _Cells) -> Iterator[str]:
    """An order counts at its own time, whatever session it falls into."""
    for cell in sorted(actual.keys() | expected.keys()):
        if cell[0] == "origins":
            for measure in ORDER_MEASURES:
                numbers = [cells.get(cell, {}).get(measure, 0) for cells in (actual, expected)]
                if numbers[0] != numbers[1]:
                    yield f"{cell} {measure}: {numbers[0]} instead of {numbers[1]}"


def _compare_persons(actual: _Cells, expected: _Cells) -> Iterator[str]:
    """Everybody is new once, and the first of a cohort by day and by week."""
    persons = expected.sum_days("actives", "new")
    for rollup, measure in (("actives", "new"), ("retention", "d0"), ("retention", "w0")):
        if (n := actual.sum_days(rollup, measure)) != persons:
            yield f"{rollup} {measure}: {n} instead of {persons}"
    for (rollup, kind, start), fields in actual.items():
        cohort = actual.get(("retention", kind, start), {}).get("d0", 0)
        if rollup == "actives" and fields.get("new", 0) != cohort:
            yield f"{start}: {fields.get('new', 0)} new, and a cohort of {cohort}"


def _compare_events_of_sessions(actual: _Cells, expected: _Cells) -> Iterator[str]:
    """Each event of a page is in a session, or counted as too late."""
    events, want = (cells.sum_days("sessions", "events") for cells in (actual, expected))
    late, late_there = (cells.exceptions["late_state"] for cells in (actual, expected))
    if not want - late <= events <= want + late_there:
        yield f"{events} events in sessions instead of {want}, {late} and {late_there} too late"


def _compare_days(actual: _Cells, expected: _Cells) -> Iterator[str]:
    """A late event may lack a day; nothing else may, as long as no user had to be guessed."""
    if any(cells.exceptions["identity_conflicts"] for cells in (actual, expected)):
        return
    days, want = (cells.sum_days("actives", "dau") for cells in (actual, expected))
    if days < want - actual.exceptions["late_state"]:
        yield f"{days} active days instead of {want}, {actual.exceptions['late_state']} too late"


def _compare_rollups(actual: _Cells, _expected: _Cells) -> Iterator[str]:
    """All rollups have the same sessions; a rollup's values sum up to its whole."""
    for (rollup, kind, start), fields in actual.items():
        if rollup == "sessions" and kind != "m":
            for other, measure in SESSIONS_IN:
                n = actual.get((other, kind, start), {}).get(measure, 0)
                if n != fields.get("sessions", 0):
                    yield f"{kind} {start}: {n} {measure} in {other}, {fields.get('sessions', 0)} sessions"
            if not 0 <= fields.get("bounces", 0) <= fields.get("sessions", 0):
                yield f"{kind} {start}: {fields.get('bounces', 0)} bounces"
        sums: Counter[str] = Counter()
        for name, n in fields.items():
            measure, *values = name.split(SEPARATOR)
            if values:
                sums[measure] += n
        for measure, n in sums.items():
            if n != fields.get(measure, 0):
                yield f"{rollup} {kind} {start} {measure}: {fields.get(measure, 0)}, by values {n}"


def _select(totals: Totals, project: str) -> _Cells:
    cells = _Cells()
    for (slug, rollup, kind, start), fields in totals.cells.items():
        if slug == project and rollup in PEOPLE_NAMES:
            cells[(rollup, kind, start)] = fields
    cells.exceptions = {name: totals.counts.get(f"{project}|{name}", 0) for name in EXCEPTIONS}
    return cells


def _list_projects_with_exceptions(totals: Totals) -> set[str]:
    return {name.split("|")[0] for name, n in totals.counts.items() if n and name.split("|")[1] in EXCEPTIONS}


def _leave_out_people(totals: Totals, projects: set[str]) -> Totals:
    cells = {
        name: fields for name, fields in totals.cells.items() if name[0] not in projects or name[1] not in PEOPLE_NAMES
    }
    counts = {
        name: n
        for name, n in totals.counts.items()
        if name.split("|")[0] not in projects or name.split("|")[1] not in EXCEPTIONS
    }
    return replace(totals, cells=cells, counts=counts)
