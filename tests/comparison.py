"""What the oracle says against what the store holds: every number, both ways."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from rtaplatform.core.rollups import BOT_PREFIX, PERSONS, SEATS_PREFIX, SEPARATOR
from rtaplatform.simulate.oracle.oracle_caps import OracleSeats, find_faults
from rtaplatform.simulate.oracle.oracle_people import Id, OracleVisit
from rtaplatform.simulate.oracle.oracle_truth import ProjectTruth, Truth
from rtaplatform.simulate.oracle.origins.oracle_properties import PropertyTruth
from rtaplatform.simulate.oracle.origins.oracle_traits import TraitNumbers
from rtaplatform.simulate.oracle.origins.oracle_visits import VisitTruth
from rtaplatform.store.memory.memory_store import MemoryStore
from tests.comparison_of_traits import find_wrong_cells, find_wrong_persons, is_of_traits

KIND = {"minute": "m", "hour": "h", "day": "d"}
KIND_OF = {short: kind for kind, short in KIND.items()}
LIKE_A_MARKER = re.compile(r"\\+\((none|other)\)")
SKETCH_ERROR_MAX = 0.033  # the promise: no estimate of distinct persons is further off
KEYS_AT_ONCE = 1_000  # of the store, read in one round trip
EXCEPTIONS = ("identity_conflicts", "late_state")  # what a store counts where persons depend on the order of reading
CAPPED = (
    "activity", "events", "products", "sales", "pages", "acquisition", "technology", "regions", "sessions",
    "session_lengths", "origins", "session_pages",
)  # fmt: skip
CellName = tuple[str, str, str, int]  # project, rollup, kind, start
SketchName = tuple[str, str, int, str, str]


@dataclass
class Totals:
    """What a store holds, in plain words. `persons`: (project, kind, start, dimension, value) → distinct.

    What a sketch should hold is a range: a link that comes late takes no id out of it. `persons` is the least then, and
    `persons_max` the most.
    """

    cells: dict[CellName, dict[str, int]] = field(default_factory=dict)
    persons: dict[SketchName, int] = field(default_factory=dict)
    persons_max: dict[SketchName, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    traits: dict[str, TraitNumbers] = field(default_factory=dict)  # by project: what should be counted by them
    dead: set[str] = field(default_factory=set)


def read_memory_totals(store: MemoryStore) -> Totals:
    memory_totals = Totals()
    for shard in store.shards:
        totals = shard.totals
        for key, fields in totals.cells.items():
            memory_totals.cells[(key.project, key.rollup, key.kind.value, key.start)] = dict(fields)
        for sketch, members in totals.sketches.items():
            name = (sketch.project, sketch.kind.value, sketch.start, sketch.dimension, sketch.value)
            memory_totals.persons[name] = len(members)
        for name_, n in totals.counts.items():
            memory_totals.counts[name_] = memory_totals.counts.get(name_, 0) + n
        memory_totals.dead |= set(totals.dead)
    return memory_totals


def compute_expected(truth: Truth) -> Totals:
    expected_totals = Totals(dead=set(truth.dead), traits={slug: of.settle() for slug, of in truth.traits.items()})
    for project, of in truth.projects.items():
        for outcome, n in of.totals.items():
            _put(expected_totals.counts, f"{project}|{outcome}", n)
        if not project:
            continue
        for rows, bot in ((of.events, ""), (of.bot_events, BOT_PREFIX)):
            for (kind, start, *dimensions), numbers in rows.items():
                _spread(expected_totals, (project, "events", KIND[kind], start), bot, numbers, dimensions)
                _spread(expected_totals, (project, "activity", KIND[kind], start), bot, numbers, dimensions[:2])
        for products, bot in ((of.products, ""), (of.bot_products, BOT_PREFIX)):
            for (kind, start, product_id), numbers in products.items():
                _spread(expected_totals, (project, "products", KIND[kind], start), bot, numbers, [product_id])
        _put_sales(expected_totals, project, of)
        for rollup, rows_, bot in (
            ("products", of.shared, ""), ("products", of.bot_shared, BOT_PREFIX), ("quality", of.quality, ""),
        ):  # fmt: skip
            for (kind, start), numbers in rows_.items():
                _spread(expected_totals, (project, rollup, KIND[kind], start), bot, numbers, [])
        _put_visits(expected_totals, project, truth.origins[project])
        _put_properties(expected_totals, project, truth.properties[project])
        _put_persons(expected_totals, project, of, _group_ids(truth.visits[project]))
    for project in truth.visits:
        for (rollup, kind, start), fields in truth.count_people(project).count_cells().items():
            expected_totals.cells[(project, rollup, KIND[kind], start)] = dict(fields)
    return expected_totals


def _group_ids(visits: Iterable[OracleVisit]) -> dict[Id, frozenset[Id]]:
    """All ids that are linked with each other, over however many links, by each of them."""
    groups: dict[Id, frozenset[Id]] = {}
    for visit in visits:
        user, anonymous = visit.user, visit.anonymous
        ids = {id for id in (user, anonymous) if id}
        if len({groups.get(id) for id in ids}) == 1 and groups.get(min(ids)):
            continue
        united = frozenset[Id]().union(ids, *(groups.get(id, ()) for id in ids))
        groups |= dict.fromkeys(united, united)
    return groups


def _put_persons(expected_totals: Totals, project: str, of: ProjectTruth, groups: dict[Id, frozenset[Id]]) -> None:
    for persons, buyers in ((of.persons, ""), (of.buyers, "buyers")):
        for (kind, start, dimension, value), ids in persons.items():
            kept_as = f"{buyers}_{dimension}".strip("_")
            if not kept_as or kind != "minute":
                stored = value if dimension == "product_id" else _store_value(value)
                name = (project, KIND[kind], start, kept_as, stored)
                groups_here = {groups[id] for id in ids}
                expected_totals.persons[name], expected_totals.persons_max[name] = (
                    len(groups_here),
                    sum(map(len, groups_here)),
                )


def _put_visits(expected_totals: Totals, project: str, of: VisitTruth) -> None:
    for cells, bot in ((of.cells, ""), (of.of_bots, BOT_PREFIX)):
        for (rollup, kind, start, values), numbers in cells.items():
            _spread(expected_totals, (project, rollup, KIND[kind], start), bot, numbers, values)


def _put_properties(expected_totals: Totals, project: str, of: PropertyTruth) -> None:
    for cells, bot in ((of.cells, ""), (of.of_bots, BOT_PREFIX)):
        for (rollup, kind, start, values), numbers in cells.items():
            _spread(expected_totals, (project, rollup, KIND[kind], start), bot, numbers, values)


def _put_sales(expected_totals: Totals, project: str, of: ProjectTruth) -> None:
    """The rollup `sales`, of hours and days: its rows, and how many events have several products."""
    for sales, shared, bot in ((of.sales, of.shared, ""), (of.bot_sales, of.bot_shared, BOT_PREFIX)):
        for (kind, start, *dimensions), numbers in sales.items():
            _spread(expected_totals, (project, "sales", KIND[kind], start), bot, numbers, dimensions)
        for (kind, start), counts in shared.items():
            if kind != "minute":
                ours = {name: counts[name] for name in ("shared_views", "shared_adds", "shared_orders")}
                _spread(expected_totals, (project, "sales", KIND[kind], start), bot, ours, [])


def find_differences(
    actual: Totals, expected: Totals, *, distinct_tolerance: float = 0.0, seats: OracleSeats | None = None
) -> list[str]:
    """Each number that is not as it should be, as a line; sketches may be off by a share.

    Exceptions are such numbers too: a world in which persons depend on the order of reading is not compared in silence.
    Worlds that are made for it are compared by comparison_of_people.py, or with exceptions that the oracle expects.
    """
    seats = seats or OracleSeats()
    lines = [
        line
        for name in sorted(actual.cells.keys() | expected.cells.keys())
        if name[1] != PERSONS.name and not is_of_traits(expected.traits, name[0], name[1])
        for line in _differ_in_cell(name, actual.cells.get(name, {}), expected.cells.get(name, {}), seats)
    ]
    counts = {k: n for k, n in actual.counts.items() if k.split("|")[0] in _list_projects(expected) and not is_note(k)}
    lines += _differ("counts", counts, {k: n for k, n in expected.counts.items() if not is_note(k)})
    lines += [f"dead {origin}: found {origin in actual.dead}" for origin in sorted(actual.dead ^ expected.dead)]
    for project, truth in expected.traits.items():
        lines += find_wrong_cells(actual.cells, project, truth, seats)
        lines += find_wrong_persons(actual.persons, actual.cells, project, truth, distinct_tolerance)
    for sketch in sorted(actual.persons.keys() | expected.persons.keys()):
        if is_of_traits(expected.traits, sketch[0], sketch[3]):
            continue
        number, least, most = (
            actual.persons.get(sketch, 0),
            expected.persons.get(sketch, 0),
            expected.persons_max.get(sketch, expected.persons.get(sketch, 0)),
        )
        if sketch not in actual.persons and _count_left_out(actual, sketch):
            continue
        slack = 2 if distinct_tolerance else 0
        if not least * (1 - distinct_tolerance) - slack <= number <= most * (1 + distinct_tolerance) + slack:
            lines.append(f"persons {sketch}: {number} instead of {least} to {most}")
    return lines


def is_note(count: str) -> bool:
    """Whether the order of reading decides about this count: how often a link came too late for a sketch."""
    return count.split("|")[1] == "late_links"


def _count_left_out(actual: Totals, sketch: tuple[str, str, int, str, str]) -> int:
    """How often persons of a dimension were left out of this bucket, as it says itself."""
    project, kind, start, dimension, _ = sketch
    return actual.cells.get((project, PERSONS.name, kind, start), {}).get(f"left_out{SEPARATOR}{dimension}", 0)


def _differ_in_cell(name: CellName, actual: dict[str, int], expected: dict[str, int], seats: OracleSeats) -> list[str]:
    """Totals must be equal, and so must values; of those that a full bucket has not, what the oracle says of any."""
    _project, rollup, kind, _start = name
    actual, expected = (
        {field_: n for field_, n in fields.items() if n and not field_.startswith(SEATS_PREFIX)}
        for fields in (actual, expected)
    )
    if rollup not in CAPPED and not rollup.startswith(("property.", "user.")):
        return _differ(str(name), actual, expected)
    lines = _differ(
        str(name), *({f: n for f, n in fields.items() if SEPARATOR not in f} for fields in (actual, expected))
    )
    for prefix in ("", BOT_PREFIX):
        actual_rows, want = (_group_by_values(fields, prefix) for fields in (actual, expected))
        lines += [
            f"{name} {prefix}{line}"
            for line in find_faults(rollup, actual_rows, want, seats.count_for(rollup, KIND_OF[kind]))
        ]
    return lines


def _group_by_values(fields: dict[str, int], prefix: str) -> dict[tuple[str, ...], dict[str, int]]:
    """Of bots (`prefix`), or of the others: values → measures."""
    measures: dict[tuple[str, ...], dict[str, int]] = defaultdict(dict)
    for name, n in fields.items():
        measure, *values = name.split(SEPARATOR)
        if values and n and measure.startswith(BOT_PREFIX) == bool(prefix):
            measures[tuple(values)][measure] = n
    return measures


def check_the_law(actual: Totals) -> list[str]:
    """consumed = applied + duplicate + late + dead, of every partition."""
    places = {name.split("|")[0] for name in actual.counts if name.endswith("|consumed")}
    lines = []
    for place in sorted(places):
        parts = [actual.counts.get(f"{place}|{o}", 0) for o in ("applied", "duplicate", "late", "dead")]
        if actual.counts[f"{place}|consumed"] != sum(parts):
            lines.append(f"the law, {place}: {actual.counts[f'{place}|consumed']} consumed, {parts}")
    return lines


def _list_projects(expected: Totals) -> set[str]:
    return {name.split("|")[0] for name in expected.counts} | {""}


def _spread(
    expected_totals: Totals, cell: CellName, bot: str, numbers: dict[str, int], dimensions: Iterable[Any]
) -> None:
    fields = expected_totals.cells.setdefault(cell, {})
    values = [_store_value(v) for v in map(str, dimensions)]
    for measure, n in numbers.items():
        _put(fields, bot + measure, n)
        if values:
            _put(fields, SEPARATOR.join([bot + measure, *values]), n)


def _store_value(value: str) -> str:
    """The value as stored, of one as shown."""
    return "" if value == "(none)" else value[1:] if LIKE_A_MARKER.fullmatch(value) else value


def _put(into: dict[str, int], name: str, n: int) -> None:
    if n:
        into[name] = into.get(name, 0) + n


def _differ(what: str, actual: dict[str, int], expected: dict[str, int]) -> list[str]:
    actual = {name: n for name, n in actual.items() if n}
    return [
        f"{what} {name!r}: {actual.get(name, 0)} instead of {expected.get(name, 0)}"
        for name in sorted(actual.keys() | expected.keys())
        if actual.get(name, 0) != expected.get(name, 0)
    ]


def read_redis_totals(client: Any) -> Totals:
    """Everything in the current generations of all shards. `client`, a `redis.Redis`, may look into every key."""
    redis_totals = Totals()
    for shard_key in client.scan_iter("rta:{s*}:shard"):
        generation = client.hget(shard_key, "generation")
        base = shard_key[: -len(b"shard")] + generation + b":"
        keys = list(client.scan_iter(base + b"*", count=KEYS_AT_ONCE))
        for first in range(0, len(keys), KEYS_AT_ONCE):
            _take_keys(redis_totals, client, len(base), keys[first : first + KEYS_AT_ONCE])
    return redis_totals


def _take_keys(totals: Totals, client: Any, prefix: int, keys: list[bytes]) -> None:
    """Ask for all of these keys in one round trip: a large shop has hundreds of thousands."""
    names = [key[prefix:].decode() for key in keys]
    with client.pipeline(transaction=False) as pipe:
        taken = [name for key, name in zip(keys, names, strict=True) if _ask_for(pipe, key, name)]
        for name, value in zip(taken, pipe.execute(), strict=True):
            _take_value(totals, name, value)


def _ask_for(pipe: Any, key: bytes, name: str) -> bool:
    """Add the command that reads a key, if it is one that is compared."""
    kind = name.partition(":")[0]
    if kind in ("c", "counts"):
        pipe.hgetall(key)
    elif kind == "p":
        pipe.pfcount(key)
    elif kind == "dead":
        pipe.zrange(key, 0, -1)
    else:
        return False
    return True


def _take_value(totals: Totals, name: str, value: Any) -> None:
    kind, _, words = name.partition(":")
    if kind == "c":
        project, rollup, size, start = words.split(":")
        totals.cells[(project, rollup, size, int(start))] = _read_numbers(value)
    elif kind == "p":
        project, size, start, *of = words.split(":", 4)
        dimension, value_of = of if of else ("", "")
        totals.persons[(project, size, int(start), dimension, value_of)] = value
    elif kind == "counts":
        for field_, n in _read_numbers(value).items():
            totals.counts[field_] = totals.counts.get(field_, 0) + n
    else:
        totals.dead |= {origin.decode() for origin in value}


def _read_numbers(fields: dict[bytes, bytes]) -> dict[str, int]:
    return {name.decode(): int(n) for name, n in fields.items()}
