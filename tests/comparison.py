"""What the oracle says against what the store holds: every number, both ways."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from rtaplatform.core.rollups import BOT_PREFIX, PEOPLE, PERSONS, SEATS_PREFIX, SEPARATOR
from rtaplatform.simulate.oracle.oracle_caps import OracleSeats, find_faults
from rtaplatform.simulate.oracle.oracle_people import Id, OracleVisit
from rtaplatform.simulate.oracle.oracle_truth import ProjectTruth, Truth
from rtaplatform.simulate.oracle.origins.oracle_properties import PropertyTruth
from rtaplatform.simulate.oracle.origins.oracle_traits import TraitNumbers
from rtaplatform.simulate.oracle.origins.oracle_visits import VisitTruth
from rtaplatform.store.memory.memory_store import MemoryStore
from tests.comparison_of_traits import is_of_traits, wrong_cells, wrong_persons

KIND = {"minute": "m", "hour": "h", "day": "d"}
KIND_OF = {short: kind for kind, short in KIND.items()}
LIKE_A_MARKER = re.compile(r"\\+\((none|other)\)")
KEYS_AT_ONCE = 1_000  # of the store, read in one round trip
PEOPLE_NAMES = {rollup.name for rollup in PEOPLE}
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


def held_in_memory(store: MemoryStore) -> Totals:
    found = Totals()
    for shard in store.shards:
        totals = shard.totals
        for key, fields in totals.cells.items():
            found.cells[(key.project, key.rollup, key.kind.value, key.start)] = dict(fields)
        for sketch, members in totals.sketches.items():
            name = (sketch.project, sketch.kind.value, sketch.start, sketch.dimension, sketch.value)
            found.persons[name] = len(members)
        for name_, n in totals.counts.items():
            found.counts[name_] = found.counts.get(name_, 0) + n
        found.dead |= set(totals.dead)
    return found


def expected(truth: Truth) -> Totals:
    wanted = Totals(dead=set(truth.dead), traits={slug: of.settle() for slug, of in truth.traits.items()})
    for project, of in truth.projects.items():
        for outcome, n in of.totals.items():
            _put(wanted.counts, f"{project}|{outcome}", n)
        if not project:
            continue
        for rows, bot in ((of.events, ""), (of.bot_events, BOT_PREFIX)):
            for (kind, start, *dimensions), numbers in rows.items():
                _spread(wanted, (project, "events", KIND[kind], start), bot, numbers, dimensions)
                _spread(wanted, (project, "activity", KIND[kind], start), bot, numbers, dimensions[:2])
        for products, bot in ((of.products, ""), (of.bot_products, BOT_PREFIX)):
            for (kind, start, product_id), numbers in products.items():
                _spread(wanted, (project, "products", KIND[kind], start), bot, numbers, [product_id])
        _put_sales(wanted, project, of)
        for rollup, rows_, bot in (
            ("products", of.shared, ""), ("products", of.bot_shared, BOT_PREFIX), ("quality", of.quality, ""),
        ):  # fmt: skip
            for (kind, start), numbers in rows_.items():
                _spread(wanted, (project, rollup, KIND[kind], start), bot, numbers, [])
        _put_visits(wanted, project, truth.origins[project])
        _put_properties(wanted, project, truth.properties[project])
        _put_persons(wanted, project, of, _groups(truth.visits[project]))
    for project in truth.visits:
        for (rollup, kind, start), fields in truth.count_people(project).count_cells().items():
            wanted.cells[(project, rollup, KIND[kind], start)] = dict(fields)
    return wanted


def _groups(visits: Iterable[OracleVisit]) -> dict[Id, frozenset[Id]]:
    """All ids that are linked with each other, over however many links, by each of them."""
    groups: dict[Id, frozenset[Id]] = {}
    for visit in visits:
        user, anonymous = visit.user, visit.anonymous
        ids = {one for one in (user, anonymous) if one}
        if len({groups.get(one) for one in ids}) == 1 and groups.get(min(ids)):
            continue
        united = frozenset[Id]().union(ids, *(groups.get(one, ()) for one in ids))
        groups |= dict.fromkeys(united, united)
    return groups


def _put_persons(wanted: Totals, project: str, of: ProjectTruth, groups: dict[Id, frozenset[Id]]) -> None:
    for persons, buyers in ((of.persons, ""), (of.buyers, "buyers")):
        for (kind, start, dimension, value), ids in persons.items():
            kept_as = f"{buyers}_{dimension}".strip("_")
            if not kept_as or kind != "minute":
                stored = value if dimension == "product_id" else _stored(value)
                name = (project, KIND[kind], start, kept_as, stored)
                groups_here = {groups[one] for one in ids}
                wanted.persons[name], wanted.persons_max[name] = len(groups_here), sum(map(len, groups_here))


def _put_visits(wanted: Totals, project: str, of: VisitTruth) -> None:
    for cells, bot in ((of.cells, ""), (of.of_bots, BOT_PREFIX)):
        for (rollup, kind, start, values), numbers in cells.items():
            _spread(wanted, (project, rollup, KIND[kind], start), bot, numbers, values)


def _put_properties(wanted: Totals, project: str, of: PropertyTruth) -> None:
    for cells, bot in ((of.cells, ""), (of.of_bots, BOT_PREFIX)):
        for (rollup, kind, start, values), numbers in cells.items():
            _spread(wanted, (project, rollup, KIND[kind], start), bot, numbers, values)


def _put_sales(wanted: Totals, project: str, of: ProjectTruth) -> None:
    """The rollup `sales`, of hours and days: its rows, and how many events have several products."""
    for sales, shared, bot in ((of.sales, of.shared, ""), (of.bot_sales, of.bot_shared, BOT_PREFIX)):
        for (kind, start, *dimensions), numbers in sales.items():
            _spread(wanted, (project, "sales", KIND[kind], start), bot, numbers, dimensions)
        for (kind, start), counts in shared.items():
            if kind != "minute":
                ours = {name: counts[name] for name in ("shared_views", "shared_adds", "shared_orders")}
                _spread(wanted, (project, "sales", KIND[kind], start), bot, ours, [])


def differences(
    found: Totals, wanted: Totals, *, distinct_tolerance: float = 0.0, seats: OracleSeats | None = None
) -> list[str]:
    """Each number that is not as it should be, as a line; sketches may be off by a share."""
    seats = seats or OracleSeats()
    lines = [
        line
        for name in sorted(found.cells.keys() | wanted.cells.keys())
        if name[1] != PERSONS.name
        and not is_of_traits(wanted.traits, name[0], name[1])
        and not (name[1] in PEOPLE_NAMES and any(_has_exceptions(totals, name[0]) for totals in (found, wanted)))
        for line in _differ_in_cell(name, found.cells.get(name, {}), wanted.cells.get(name, {}), seats)
    ]
    counts = {k: n for k, n in found.counts.items() if k.split("|")[0] in _projects(wanted) and not is_note(k)}
    lines += _differ("counts", counts, {k: n for k, n in wanted.counts.items() if not is_note(k)})
    lines += [f"dead {origin}: found {origin in found.dead}" for origin in sorted(found.dead ^ wanted.dead)]
    for project, truth in wanted.traits.items():
        lines += wrong_cells(found.cells, project, truth, seats)
        lines += wrong_persons(found.persons, found.cells, project, truth, distinct_tolerance)
    for who in sorted(found.persons.keys() | wanted.persons.keys()):
        if is_of_traits(wanted.traits, who[0], who[3]):
            continue
        got, least, most = (
            found.persons.get(who, 0),
            wanted.persons.get(who, 0),
            wanted.persons_max.get(who, wanted.persons.get(who, 0)),
        )
        if who not in found.persons and _left_out(found, who):
            continue
        slack = 2 if distinct_tolerance else 0
        if not least * (1 - distinct_tolerance) - slack <= got <= most * (1 + distinct_tolerance) + slack:
            lines.append(f"persons {who}: {got} instead of {least} to {most}")
    return lines


def is_note(count: str) -> bool:
    """Whether the order of reading decides about this count: how often a link or an event came too late."""
    return count.split("|")[1] in (*EXCEPTIONS, "late_links")


def _has_exceptions(found: Totals, project: str) -> bool:
    """Whether the project says itself that its persons depend on the order of reading."""
    return any(found.counts.get(f"{project}|{exception}", 0) for exception in EXCEPTIONS)


def _left_out(found: Totals, who: tuple[str, str, int, str, str]) -> int:
    """How often persons of a dimension were left out of this bucket, as it says itself."""
    project, kind, start, dimension, _ = who
    return found.cells.get((project, PERSONS.name, kind, start), {}).get(f"left_out{SEPARATOR}{dimension}", 0)


def _differ_in_cell(name: CellName, found: dict[str, int], wanted: dict[str, int], seats: OracleSeats) -> list[str]:
    """Totals must be equal, and so must values; of those that a full bucket has not, what the oracle says of any."""
    _project, rollup, kind, _start = name
    found, wanted = (
        {field_: n for field_, n in each.items() if n and not field_.startswith(SEATS_PREFIX)}
        for each in (found, wanted)
    )
    if rollup not in CAPPED and not rollup.startswith(("property.", "user.")):
        return _differ(str(name), found, wanted)
    lines = _differ(str(name), *({f: n for f, n in each.items() if SEPARATOR not in f} for each in (found, wanted)))
    for prefix in ("", BOT_PREFIX):
        got, want = (_by_values(each, prefix) for each in (found, wanted))
        lines += [
            f"{name} {prefix}{line}" for line in find_faults(rollup, got, want, seats.count_for(rollup, KIND_OF[kind]))
        ]
    return lines


def _by_values(fields: dict[str, int], prefix: str) -> dict[tuple[str, ...], dict[str, int]]:
    """Of bots (`prefix`), or of the others: values → measures."""
    found: dict[tuple[str, ...], dict[str, int]] = defaultdict(dict)
    for name, n in fields.items():
        measure, *values = name.split(SEPARATOR)
        if values and n and measure.startswith(BOT_PREFIX) == bool(prefix):
            found[tuple(values)][measure] = n
    return found


def check_the_law(found: Totals) -> list[str]:
    """consumed = applied + duplicate + late + dead, of every partition."""
    places = {name.split("|")[0] for name in found.counts if name.endswith("|consumed")}
    lines = []
    for place in sorted(places):
        parts = [found.counts.get(f"{place}|{o}", 0) for o in ("applied", "duplicate", "late", "dead")]
        if found.counts[f"{place}|consumed"] != sum(parts):
            lines.append(f"the law, {place}: {found.counts[f'{place}|consumed']} consumed, {parts}")
    return lines


def _projects(wanted: Totals) -> set[str]:
    return {name.split("|")[0] for name in wanted.counts} | {""}


def _spread(wanted: Totals, cell: CellName, bot: str, numbers: dict[str, int], dimensions: Iterable[Any]) -> None:
    fields = wanted.cells.setdefault(cell, {})
    values = [_stored(v) for v in map(str, dimensions)]
    for measure, n in numbers.items():
        _put(fields, bot + measure, n)
        if values:
            _put(fields, SEPARATOR.join([bot + measure, *values]), n)


def _stored(value: str) -> str:
    """The value as stored, of one as shown."""
    return "" if value == "(none)" else value[1:] if LIKE_A_MARKER.fullmatch(value) else value


def _put(into: dict[str, int], name: str, n: int) -> None:
    if n:
        into[name] = into.get(name, 0) + n


def _differ(what: str, found: dict[str, int], wanted: dict[str, int]) -> list[str]:
    found = {name: n for name, n in found.items() if n}
    return [
        f"{what} {name!r}: {found.get(name, 0)} instead of {wanted.get(name, 0)}"
        for name in sorted(found.keys() | wanted.keys())
        if found.get(name, 0) != wanted.get(name, 0)
    ]


def held_in_redis(client: Any) -> Totals:
    """Everything in the current generations of all shards. `client`, a `redis.Redis`, may look into every key."""
    found = Totals()
    for shard_key in client.scan_iter("rta:{s*}:shard"):
        generation = client.hget(shard_key, "generation")
        base = shard_key[: -len(b"shard")] + generation + b":"
        keys = list(client.scan_iter(base + b"*", count=KEYS_AT_ONCE))
        for first in range(0, len(keys), KEYS_AT_ONCE):
            _take_keys(found, client, len(base), keys[first : first + KEYS_AT_ONCE])
    return found


def _take_keys(found: Totals, client: Any, prefix: int, keys: list[bytes]) -> None:
    """Ask for all of these keys in one round trip: a large shop has hundreds of thousands."""
    names = [key[prefix:].decode() for key in keys]
    with client.pipeline(transaction=False) as pipe:
        taken = [name for key, name in zip(keys, names, strict=True) if _ask_for(pipe, key, name)]
        for name, value in zip(taken, pipe.execute(), strict=True):
            _take_value(found, name, value)


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


def _take_value(found: Totals, name: str, value: Any) -> None:
    kind, _, rest = name.partition(":")
    if kind == "c":
        project, rollup, size, start = rest.split(":")
        found.cells[(project, rollup, size, int(start))] = _numbers(value)
    elif kind == "p":
        project, size, start, *of = rest.split(":", 4)
        dimension, value_of = of if of else ("", "")
        found.persons[(project, size, int(start), dimension, value_of)] = value
    elif kind == "counts":
        for field_, n in _numbers(value).items():
            found.counts[field_] = found.counts.get(field_, 0) + n
    else:
        found.dead |= {origin.decode() for origin in value}


def _numbers(fields: dict[bytes, bytes]) -> dict[str, int]:
    return {name.decode(): int(n) for name, n in fields.items()}
