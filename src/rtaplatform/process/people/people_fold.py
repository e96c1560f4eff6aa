"""The events of a batch → changed values of persons, and what follows from them in the totals.   Pure.   Stage 3 of 6.

A batch only collects events while it is read. At its end each person is calculated once: links first, since they say
whose the events of an anonymous id are. Then sketches and the online set take the canonical id of each person, as it
is known now.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import structs

from rtaplatform.core.events import PersonNote
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.process.decode.fast import EventDimensions
from rtaplatform.process.fold.decode_run import DecodedRecord
from rtaplatform.process.fold.person_state import PersonKey, PersonNames, PersonStates
from rtaplatform.process.people.contributions import PeopleTotals
from rtaplatform.process.people.identity import Alias, user_at, with_link
from rtaplatform.process.people.person_value import (
    CollectedEvents,
    Erased,
    Person,
    PersonValue,
    as_of,
    decode_value,
    encode_value,
    take_events,
    unite_persons,
    without_old_sessions,
)

ALIAS_TAG = b"\x01"  # after the byte that says how many fields there are


class PeopleFold:
    """Everything that is kept of people: the platform's `PersonFold`."""

    def persons_of(self, records: Sequence[DecodedRecord]) -> Iterable[PersonKey]:
        keys: set[PersonKey] = set()
        for record in records:
            event = record.event
            if event is not None and not event.dimensions.is_bot:
                keys.add((event.project, event.person))
                if event.linked:
                    keys.add((event.project, event.linked))
        return keys

    def pointed_at(self, key: PersonKey, value: bytes) -> Iterable[PersonKey]:
        """The users of an anonymous id."""
        if value[1:2] != ALIAS_TAG:  # of nearly all: they need not be decoded
            return ()
        alias = decode_value(value)
        assert isinstance(alias, Alias)
        return [(key[0], user) for user in {alias.heir, *(user for _, user in alias.links)}]

    def begin(self, projects: Mapping[str, ProjectSettings], persons: PersonStates) -> PeopleBatch:
        return PeopleBatch(projects, persons)


class PeopleBatch:
    """The people of one batch in one shard."""

    def __init__(
        self,
        projects: Mapping[str, ProjectSettings],
        persons: PersonStates,
        totals: Callable[[ProjectSettings], PeopleTotals] = PeopleTotals,
    ) -> None:
        self._projects, self._persons, self._make_totals = projects, persons, totals
        self._events: defaultdict[tuple[str, bytes, bytes], list[tuple[int, EventDimensions]]] = defaultdict(list)
        self._values: dict[PersonKey, PersonValue | None] = {}
        self._totals: dict[str, PeopleTotals] = {}
        self._changed: dict[PersonKey, None] = {}  # in order
        self._roots: dict[PersonKey, None] = {}  # persons among them
        self._left: defaultdict[str, set[bytes]] = defaultdict(set)  # ids that may be canonical no more
        self.notes: Counter[tuple[str, str]] = Counter()  # (project, note)

    def add(self, record: DecodedRecord) -> None:
        event = record.event
        if event is not None and not event.dimensions.is_bot:
            self._events[(event.project, event.person, event.linked)].append((event.time_ms, event.dimensions))

    def settle(self) -> PersonNames:
        """Calculate everybody; to be called once, when all events are there."""
        linking = [key for key in self._events if key[2]]
        for project, user, anonymous in linking:
            self._link(project, anonymous, user, self._events[(project, user, anonymous)])
        for (project, person, anonymous), events in self._events.items():
            self._take(project, person, anonymous, events)
        for totals in self._totals.values():
            for cell, fields in totals.cells().items():
                for field, n in fields.items():
                    self._persons.count(cell, field, n)
        self._store()
        return self._names()

    # links -----------------------------------------------------------------------------------------------------

    def _link(self, project: str, anonymous: bytes, user: bytes, events: CollectedEvents) -> None:
        """Give an anonymous id to a user, as of the time of each event that names both."""
        key = (project, anonymous)
        value = self._value(key)
        if isinstance(value, Erased):
            return
        if isinstance(value, Alias):
            alias = value
        else:
            alias = Alias(user, -1 if value is None else value.newest_ms, [])
            if value is not None:
                self._unite(project, value, anonymous, user, min(time_ms for time_ms, _ in events))
        for time_ms in sorted(time_ms for time_ms, _ in events):
            alias, conflicts = with_link(alias, time_ms, user)
            if conflicts:
                self.notes[(project, PersonNote.IDENTITY_CONFLICTS)] += conflicts
        if alias is not value:
            self._set(key, alias)

    def _unite(self, project: str, other: Person, anonymous: bytes, user: bytes, linked_ms: int) -> None:
        """The history of an anonymous id becomes its first user's."""
        self._roots.pop((project, anonymous), None)
        self._left[project].add(anonymous)
        value = self._value((project, user))
        if value is not None and not isinstance(value, Person):
            return  # erased
        if value is None:
            united = other if other.canonical else structs.replace(other, canonical=anonymous)
        else:
            newest_ms, zone = max(value.newest_ms, other.newest_ms, linked_ms), self._projects[project].zone
            both = as_of(value, newest_ms, zone), as_of(other, newest_ms, zone)
            united = unite_persons(*both, anonymous)
            self._total(project).change(both, united)
            self._left[project].add(value.canonical or user)
            if self._persons[(project, user)] and self._persons[(project, anonymous)]:
                self.notes[(project, PersonNote.LATE_LINKS)] += 1
        self._change((project, user), united)

    # events ----------------------------------------------------------------------------------------------------

    def _take(self, project: str, person: bytes, anonymous: bytes, events: CollectedEvents) -> None:
        value = self._value((project, person))
        if not isinstance(value, Alias):
            named = self._value((project, anonymous)) if anonymous else None
            is_own = isinstance(named, Alias) and named.heir == person
            self._give(project, person, anonymous if is_own else b"", events)
            return
        by_user: defaultdict[bytes, list[tuple[int, EventDimensions]]] = defaultdict(list)
        for event in events:
            by_user[user_at(value, event[0])].append(event)
        for user, theirs in by_user.items():
            self._give(project, user, person if user == value.heir else b"", theirs)
        newest_ms = max(time_ms for time_ms, _ in events)
        if newest_ms > value.newest_ms:
            self._set((project, person), structs.replace(value, newest_ms=newest_ms))

    def _give(self, project: str, person: bytes, seen_as: bytes, events: CollectedEvents) -> None:
        """Events to a person. There is at least one."""
        before = self._value((project, person))
        if before is not None and not isinstance(before, Person):
            return  # erased
        zone, after = self._projects[project].zone, before
        while after is None or events:
            earlier = after
            after, late, events = take_events(earlier, events, zone, seen_as)
            if late:
                self.notes[(project, PersonNote.LATE_STATE)] += late
            self._total(project).change((earlier,) if earlier is not None else (), after)
            after = without_old_sessions(after)
        if before is not None and before.canonical != after.canonical:
            self._left[project].add(before.canonical or person)
            if self._persons[(project, person)]:
                self.notes[(project, PersonNote.LATE_LINKS)] += 1
        self._change((project, person), after)

    # values ----------------------------------------------------------------------------------------------------

    def _value(self, key: PersonKey) -> PersonValue | None:
        if key not in self._values:
            self._values[key] = decode_value(self._persons[key])
        return self._values[key]

    def _set(self, key: PersonKey, value: PersonValue) -> None:
        self._values[key] = value
        self._changed[key] = None

    def _change(self, key: PersonKey, person: Person) -> None:
        self._set(key, person)
        self._roots[key] = None

    def _total(self, project: str) -> PeopleTotals:
        totals = self._totals.get(project)
        if totals is None:
            totals = self._totals[project] = self._make_totals(self._projects[project])
        return totals

    def _store(self) -> None:
        """What was read and has not changed is compared all the same."""
        for key in self._changed:
            value = self._values[key]
            assert value is not None
            self._persons[key] = encode_value(value)

    # names -----------------------------------------------------------------------------------------------------

    def _names(self) -> PersonNames:
        """Who is who at the end of the batch."""
        names = PersonNames()
        for project, person in self._roots:
            value = self._values[(project, person)]
            assert isinstance(value, Person)
            names.online.setdefault(project, {})[value.canonical or person] = value.newest_ms
        for project, ids in self._left.items():
            names.left_online[project] = ids - names.online.get(project, {}).keys()
        for project, person, _anonymous in self._events:
            self._name(names, project, person)
        return names

    def _name(self, names: PersonNames, project: str, person: bytes) -> None:
        value = self._values[(project, person)]
        if isinstance(value, Alias) and len({user for _, user in value.links} | {value.heir}) > 1:
            users = [(time_ms, self._canonical(project, user)) for time_ms, user in value.links]
            names.by_time.setdefault(project, {})[person] = (self._canonical(project, value.heir), users)
            return
        canonical = self._canonical(project, value.heir if isinstance(value, Alias) else person)
        if canonical != person:
            names.canonical.setdefault(project, {})[person] = canonical

    def _canonical(self, project: str, person: bytes) -> bytes:
        value = self._value((project, person))
        return value.canonical or person if isinstance(value, Person) else person
