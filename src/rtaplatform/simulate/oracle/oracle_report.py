"""The oracle's people as rows for a truth file: persons, sessions, active users, cohorts (rule 7).

Everything comes from one `OraclePeople`. Starts are minutes since 1970.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from rtaplatform.simulate.oracle.oracle_people import Cell, Id, OraclePeople

_US = "\x1f"
_ACTIVE = {"dau": "daily", "wau": "weekly", "mau": "monthly", "new": "new"}


def report_people(people: OraclePeople) -> dict[str, list[dict[str, Any]]]:
    """Return lists of rows, sorted. A number that is 0 may be missing."""
    cells = people.count_cells()
    return {
        "people": [_make_person_row(people, person) for person in sorted(people.persons)],
        "active_users": [
            {"start": start, **{_ACTIVE[name]: n for name, n in cell.items()}}
            for _, start, cell in _select_rollup(cells, "actives")
        ],
        "cohorts": [
            row for _, start, cell in _select_rollup(cells, "retention") for row in _report_cohorts(start, cell)
        ],
        "sessions": [
            row
            for kind, start, cell in _select_rollup(cells, "sessions")
            for row in _report_sessions(kind, start, cell)
        ],
    }


def _select_rollup(cells: dict[Cell, dict[str, int]], rollup: str) -> list[tuple[str, int, dict[str, int]]]:
    """Return the kind, start and numbers of each bucket of a rollup, in order."""
    return [(kind, start, cell) for (name, kind, start), cell in sorted(cells.items()) if name == rollup]


def unite(ids: set[Id], people: OraclePeople) -> set[Id]:
    """Return the persons behind these ids: an anonymous id that was linked is its user."""
    return {people.find_heir(person) for person in ids}


def _make_person_row(people: OraclePeople, person: Id) -> dict[str, Any]:
    visits = people.persons[person]
    devices = {visit.anonymous for visit in visits if visit.anonymous and visit.anonymous != person}
    return {
        "id": _write_id(person),
        "canonical": _write_id(people.find_canonical(person)),
        "devices": sorted(map(_write_id, devices)),
        "first_seen_ms": visits[0].time,
        "last_seen_ms": visits[-1].time,
        "events": len(visits),
        "days": len(people.find_days(person)),
        "sessions": len(people.find_sessions(person)),
    }


def _report_cohorts(start: int, cell: Mapping[str, int]) -> list[dict[str, Any]]:
    """By days and by weeks: the size is what age 0 counts."""
    counts: dict[str, dict[int, int]] = defaultdict(dict)
    for name, number in cell.items():
        counts[{"d": "day", "w": "week"}[name[0]]][int(name[1:])] = number
    return [
        {"start": start, "cohort": cohort, "size": ages[0], "retained": dict(sorted(ages.items()))}
        for cohort, ages in sorted(counts.items())
    ]


def _report_sessions(kind: str, start: int, cell: Mapping[str, int]) -> list[dict[str, Any]]:
    """One row by source, country and device."""
    rows: dict[tuple[str, ...], dict[str, int]] = defaultdict(dict)
    for name, number in cell.items():
        measure, *dimensions = name.split(_US)
        if dimensions:
            rows[tuple(dimensions)][measure] = number
    names = ("source", "country", "device")
    return [
        {"kind": kind, "start": start, **dict(zip(names, dimensions, strict=True)), **numbers}
        for dimensions, numbers in sorted(rows.items())
    ]


def _write_id(person: Id) -> str:
    return f"{person[0]}:{person[1]}"
