"""What the oracle says of declared traits against what the store holds.

A bucket with events of persons whose partitions were mixed has an exact sum, and no value less than what is certain,
nor more than that and all that is open. Any other bucket is exact.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping

from rtaplatform.simulate.oracle.oracle_caps import REST, OracleSeats, find_faults
from rtaplatform.simulate.oracle.origins.oracle_traits import OracleRange, TraitCell, TraitNumbers

CellName = tuple[str, str, str, int]  # project, rollup, kind, start
SketchName = tuple[str, str, int, str, str]
TraitBucket = tuple[str, int, str]  # kind, start, trait
Values = tuple[str, ...]
_ByValues = Mapping[Values, Mapping[str, int]]
_KINDS = {"hour": "h", "day": "d"}
_LIKE_A_MARKER = re.compile(r"\\+\((none|other)\)")
_US, _BOT = "\x1f", "~"


def is_of_traits(traits: Mapping[str, TraitNumbers], project: str, name: str) -> bool:
    """Whether a rollup or a kind of sketches is that of a trait of a project whose traits the oracle has counted."""
    return project in traits and name.startswith("user.")


def find_wrong_cells(
    actual: Mapping[CellName, Mapping[str, int]], project: str, truth: TraitNumbers, seats: OracleSeats
) -> list[str]:
    names = {
        (name[1], kind, name[3])
        for name in actual
        for kind, short in _KINDS.items()
        if name[0] == project and name[1].startswith("user.") and name[2] == short
    }
    return [
        f"{project} {cell}: {line}"
        for cell in sorted(names | truth.cells.keys() | truth.bots.keys() | truth.open_events.keys())
        for line in _find_wrong_in_cell(
            actual.get((project, cell[0], _KINDS[cell[1]], cell[2]), {}), cell, truth, seats
        )
    ]


def _find_wrong_in_cell(
    fields: Mapping[str, int], cell: TraitCell, truth: TraitNumbers, seats: OracleSeats
) -> Iterable[str]:
    seats_here = seats.count_for(cell[0], cell[1])
    for prefix, certain in (("", truth.cells), (_BOT, truth.bots)):
        actual = _group_by_values(fields, prefix)
        true = {tuple(map(_store_value, values)): dict(numbers) for values, numbers in certain.get(cell, {}).items()}
        still_open = truth.open_events.get(cell, {}) if not prefix else {}
        totals: dict[str, int] = defaultdict(int)
        for numbers in (*true.values(), still_open):
            for measure, n in numbers.items():
                totals[measure] += n
        for measure in totals.keys() | {m for numbers in actual.values() for m in numbers}:
            sums = fields.get(prefix + measure, 0), sum(numbers.get(measure, 0) for numbers in actual.values())
            if sums != (totals[measure], totals[measure]):
                yield f"{prefix}{measure} is {sums}, in the total and by values, instead of {totals[measure]}"
        if not still_open:
            yield from find_faults(cell[0], actual, true, seats_here)
        elif not any(REST in values for values in actual):
            yield from _find_beyond(actual, true, still_open["count"])


def _find_beyond(
    actual: Mapping[Values, Mapping[str, int]], true: Mapping[Values, Mapping[str, int]], more: int
) -> Iterable[str]:
    for values in actual.keys() | true.keys():
        number, least = actual.get(values, {}).get("count", 0), true.get(values, {}).get("count", 0)
        if not least <= number <= least + more:
            yield f"{values}: {number} instead of {least} to {least + more}"


def find_wrong_persons(
    actual: Mapping[SketchName, int],
    cells: Mapping[CellName, Mapping[str, int]],
    project: str,
    truth: TraitNumbers,
    tolerance: float,
) -> Iterable[str]:
    """Each sketch is in the range of its certain persons and of all that is open; nobody is missing in all of them."""
    certain = {
        (kind, start, trait, _store_value(value)): ids for (kind, start, trait, value), ids in truth.persons.items()
    }
    counts = {
        (kind, sketch[2], sketch[3].removeprefix("user."), sketch[4]): n
        for sketch, n in actual.items()
        for kind, short in _KINDS.items()
        if sketch[0] == project and sketch[3].startswith("user.") and sketch[1] == short
    }
    slack = 2 if tolerance else 0
    counts_in: dict[TraitBucket, dict[str, int]] = defaultdict(dict)
    for name in sorted(counts.keys() | certain.keys()):
        bucket, value = name[:3], name[3]
        if name not in counts and _is_left_out(cells, project, bucket):
            continue
        counts_in[bucket][value] = number = counts.get(name, 0)
        least, most = certain.get(name, OracleRange())
        most += truth.open_persons.get(bucket, OracleRange()).most
        if not least * (1 - tolerance) - slack <= number <= most * (1 + tolerance) + slack:
            yield f"persons {project} {name}: {number} instead of {least} to {most}"
    least_in = {bucket: of.least for bucket, of in truth.open_persons.items()}
    for name, of in certain.items():
        if name[:3] in least_in:
            least_in[name[:3]] += of.least
    for bucket, least in least_in.items():
        number = sum(counts_in[bucket].values())
        if number < least * (1 - tolerance) - slack * len(counts_in[bucket]) and not _is_left_out(
            cells, project, bucket
        ):
            yield f"persons {project} {bucket}: {number} in all values together, and there are {least}"


def _is_left_out(cells: Mapping[CellName, Mapping[str, int]], project: str, bucket: TraitBucket) -> bool:
    """Whether a value of this trait may be without a sketch, as the bucket says itself."""
    kind, start, trait = bucket
    return bool(cells.get((project, "persons", _KINDS[kind], start), {}).get(f"left_out{_US}user.{trait}"))


def _group_by_values(fields: Mapping[str, int], prefix: str) -> dict[Values, dict[str, int]]:
    measures: dict[Values, dict[str, int]] = defaultdict(dict)
    for name, n in fields.items():
        measure, *values = name.split(_US)
        if values and n and measure.startswith(_BOT) == bool(prefix) and not measure.startswith(("!", "#")):
            measures[tuple(values)][measure.removeprefix(_BOT)] = n
    return measures


def _store_value(shown: str) -> str:
    return "" if shown == "(none)" else shown[1:] if _LIKE_A_MARKER.fullmatch(shown) else shown
