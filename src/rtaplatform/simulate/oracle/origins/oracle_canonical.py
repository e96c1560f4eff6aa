"""The oracle's canonical ids: under which of their ids persons may be counted in a sketch (rule 7).

A sketch holds the canonical id as it is known at the end of a batch, and the oracle knows no batches. So an event's
person has the canonical id after that event, or after any later one. Input: the events of people whose anonymous ids
have one user at most, in the order of reading, none of them more than 32 days late.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

OracleId = tuple[str, str]
PersonIds = frozenset[OracleId]


class OracleActor(NamedTuple):
    """Whose an event is once it is read, and which ids may be canonical then. `linked`: the id that became theirs."""

    person: OracleId
    canonical: PersonIds
    linked: OracleId | None


def list_counted_ids(events: Iterable[tuple[Sequence[OracleId], int]]) -> list[PersonIds]:
    """Return for each event the ids under one of which its person is counted.

    An event has its time and its ids: the person's own and, where it is a link, the anonymous one.
    """
    actors = _find_actors(events)
    later: dict[OracleId, PersonIds] = {}
    counted_ids: list[PersonIds] = []
    for person, canonical, link in reversed(actors):
        later[person] = later.get(person, canonical) | canonical
        counted_ids.append(later[person])
        if link:
            later[link] = later[person]
    return counted_ids[::-1]


def _find_actors(events: Iterable[tuple[Sequence[OracleId], int]]) -> list[OracleActor]:
    users: dict[OracleId, OracleId] = {}
    first_seen: dict[OracleId, dict[OracleId, int]] = defaultdict(dict)
    actors: list[OracleActor] = []
    for ids, time in events:
        link = ids[1] if len(ids) == 2 and ids[1] not in users else None
        if link:
            users[link] = ids[0]
            first_seen[ids[0]].update(first_seen[link])
        person = users.get(ids[0], ids[0])
        times = first_seen[person]
        for named_id in ids:
            times[named_id] = min(times.get(named_id, time), time)
        actors.append(OracleActor(person, _find_canonical(person, times), link))
    return actors


def _find_canonical(person: OracleId, times: Mapping[OracleId, int]) -> PersonIds:
    """Return the ids that may be the first seen: of several at one time the anonymous ones."""
    earliest = min(times.values())
    first_ids = frozenset(named_id for named_id, time in times.items() if time == earliest)
    return first_ids - {person} or first_ids
