"""The oracle's declared traits: events and persons by what was known of the person when the event was read (rule 7).

It is exact where all events of a person are in one partition, whatever partitions are mixed. Of other persons only the
number of events is known: which of two partitions was read first is not for the oracle to say.

How many ids a sketch holds is a range. A person is in it at least once, however many ids they have: with all events in
one batch they have one. Each event adds one id, so they are in it no more often than it has events of theirs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from rtaplatform.simulate.oracle.origins.oracle_canonical import OracleId, list_counted_ids

TraitCell = tuple[str, str, int]
"""rollup, kind, start"""
TraitCells = dict[TraitCell, dict[tuple[str, ...], dict[str, int]]]
_NOBODYS = "(none)"


class OracleTraitEvent(NamedTuple):
    """An event of a project that declares traits. `own_traits`: those that an identify names, as dimensions' values.

    `place`: topic and partition. `numbers`: what it adds by measure. `lasting`: the buckets with persons by trait.
    """

    place: tuple[str, int]
    name: str
    is_bot: bool
    time: int
    ids: Sequence[OracleId]
    own_traits: Mapping[str, str]
    numbers: Mapping[str, int]
    buckets: Sequence[tuple[str, int]]
    lasting: Collection[tuple[str, int]]


class OracleRange(NamedTuple):
    """How many ids there may be."""

    least: int = 0
    most: int = 0


def read_traits(data: Mapping[str, Any], names: Iterable[str], show: Callable[[Any], str]) -> dict[str, str]:
    """Return those of these traits that an identify call names. Those at the root override those in the context."""
    if data.get("type") != "identify":
        return {}
    context = data.get("context")
    inner = context.get("traits") if isinstance(context, dict) else None
    outer = data.get("traits")
    members = {**(inner if isinstance(inner, dict) else {}), **(outer if isinstance(outer, dict) else {})}
    return {name: show(members[name]) for name in names if name in members}


@dataclass
class TraitNumbers:
    """`cells`: what is certain, by value. `open_events`: by bucket, events of which only the number is certain.

    `persons`: those who are certain, by kind, start, trait and value. `open_persons`: the others, by kind, start and
    trait. Each of these has at least one of the values, and in each value as many ids as all of their events allow.
    """

    cells: TraitCells = field(default_factory=lambda: defaultdict(lambda: defaultdict(lambda: defaultdict(int))))
    bots: TraitCells = field(default_factory=lambda: defaultdict(lambda: defaultdict(lambda: defaultdict(int))))
    open_events: dict[TraitCell, dict[str, int]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(int)))
    persons: dict[tuple[str, int, str, str], OracleRange] = field(default_factory=lambda: defaultdict(OracleRange))
    open_persons: dict[tuple[str, int, str], OracleRange] = field(default_factory=lambda: defaultdict(OracleRange))


@dataclass
class TraitTruth:
    """The events of one project in the order of reading, and the ids that were erased."""

    names: Sequence[str] = ()
    events: list[OracleTraitEvent] = field(default_factory=list)
    erased: set[OracleId] = field(default_factory=set)

    def settle(self) -> TraitNumbers:
        """Count all events."""
        truth, groups = TraitNumbers(), _group_ids(event.ids for event in self.events if not event.is_bot)
        by_group: dict[frozenset[OracleId], list[OracleTraitEvent]] = defaultdict(list)
        for event in self.events:
            if event.is_bot:
                _count(truth.bots, event, dict.fromkeys(self.names, _NOBODYS))
            else:
                by_group[groups[event.ids[0]]].append(event)
        for group, events in by_group.items():
            if len({event.place for event in events}) == 1 and not group & self.erased and _has_one_user_each(events):
                self._count_certain(truth, events)
            else:
                self._count_open(truth, events, group)
        return truth

    def _count_certain(self, truth: TraitNumbers, events: Sequence[OracleTraitEvent]) -> None:
        sketches: dict[tuple[str, int, str, str], list[Collection[OracleId]]] = defaultdict(list)
        traits: dict[OracleId, dict[str, tuple[int, str]]] = defaultdict(dict)
        owner: dict[OracleId, OracleId] = {}
        counted_ids = list_counted_ids((event.ids, event.time) for event in events)
        for event, ids in zip(events, counted_ids, strict=True):
            person = event.ids[0]
            if len(event.ids) == 2 and event.ids[1] not in owner:
                owner[event.ids[1]] = person
                _learn(traits[person], traits[event.ids[1]])
            person = owner.get(person, person)
            _learn(traits[person], {name: (event.time, text) for name, text in event.own_traits.items()})
            values = {name: traits[person].get(name, (0, ""))[1] or _NOBODYS for name in self.names}
            _count(truth.cells, event, values)
            for kind, start in event.lasting:
                for name, value in values.items() if kind != "minute" else ():
                    sketches[kind, start, name, value].append(ids)
        for sketch, ids_of_events in sketches.items():
            truth.persons[sketch] = _add_person(truth.persons[sketch], ids_of_events)

    def _count_open(self, truth: TraitNumbers, events: Iterable[OracleTraitEvent], group: frozenset[OracleId]) -> None:
        sketches: dict[tuple[str, int, str], list[Collection[OracleId]]] = defaultdict(list)
        for event in events:
            for kind, start in event.buckets:
                for name in self.names if kind != "minute" else ():
                    for rollup, numbers in _list_rollups(name, event):
                        cell = truth.open_events[rollup, kind, start]
                        for measure, n in numbers.items():
                            cell[measure] += n
            for kind, start in event.lasting:
                for name in self.names if kind != "minute" else ():
                    sketches[kind, start, name].append(group)
        for sketch, ids_of_events in sketches.items():
            truth.open_persons[sketch] = _add_person(truth.open_persons[sketch], ids_of_events)


def _add_person(other_ids: OracleRange, ids_of_events: Sequence[Collection[OracleId]]) -> OracleRange:
    """Count one person more, of whose events each adds one of these ids."""
    all_ids = set[OracleId]().union(*ids_of_events)
    return OracleRange(other_ids.least + 1, other_ids.most + min(len(all_ids), len(ids_of_events)))


def _learn(traits: dict[str, tuple[int, str]], more: Mapping[str, tuple[int, str]]) -> None:
    for name, dated_text in more.items():
        traits[name] = max(traits.get(name, dated_text), dated_text)


def _count(cells: TraitCells, event: OracleTraitEvent, values: Mapping[str, str]) -> None:
    for kind, start in event.buckets:
        for name, value in values.items() if kind != "minute" else ():
            for rollup, numbers in _list_rollups(name, event):
                shown_values = (value, event.name) if rollup.endswith("+event") else (value,)
                for measure, n in numbers.items():
                    cells[rollup, kind, start][shown_values][measure] += n


def _list_rollups(name: str, event: OracleTraitEvent) -> Sequence[tuple[str, Mapping[str, int]]]:
    numbers = {measure: n for measure, n in event.numbers.items() if n}
    if event.name in ("$page", "$screen"):
        numbers["page_views"] = 1
    return (f"user.{name}", numbers), (f"user.{name}+event", {"count": 1})


def _has_one_user_each(events: Iterable[OracleTraitEvent]) -> bool:
    """Tell whether each anonymous id has one user at most."""
    users: dict[OracleId, set[OracleId]] = defaultdict(set)
    for event in events:
        if len(event.ids) == 2:
            users[event.ids[1]].add(event.ids[0])
    return all(len(of_one) == 1 for of_one in users.values())


def _group_ids(pairs: Iterable[Sequence[OracleId]]) -> dict[OracleId, frozenset[OracleId]]:
    """All ids that are linked with each other, over however many links, by each of them."""
    groups: dict[OracleId, frozenset[OracleId]] = {}
    for ids in pairs:
        group = frozenset(ids).union(*(groups.get(person, frozenset()) for person in ids))
        if any(groups.get(person) != group for person in ids):
            groups |= dict.fromkeys(group, group)
    return groups
