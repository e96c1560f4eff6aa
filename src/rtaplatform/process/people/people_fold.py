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
from rtaplatform.process.decode.commerce import EventCommerce
from rtaplatform.process.decode.declared import DeclaredValues
from rtaplatform.process.decode.fast import DecodedEvent
from rtaplatform.process.fold.decode_run import DecodedRecord
from rtaplatform.process.fold.person_state import PersonKey, PersonNames, PersonStates
from rtaplatform.process.people.contributions import PeopleTotals
from rtaplatform.process.people.event_groups import EventGroups, split_by_time
from rtaplatform.process.people.identity import Alias, find_user, with_link
from rtaplatform.process.people.known_traits import TraitReading
from rtaplatform.process.people.orders import OrderMade
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

UNREAD = Erased()  # in the place of a value that was not read yet
ALIAS_TAG = b"\x01"  # after the byte that says how many fields there are


class PeopleFold:
    """Everything that is kept of people: the platform's `PersonFold`."""

    def list_persons(self, records: Sequence[DecodedRecord]) -> Iterable[PersonKey]:
        keys: set[PersonKey] = set()
        for record in records:
            event = record.event
            if event is not None and not event.dimensions.is_bot:
                keys.add((event.project, event.person))
                if event.linked:
                    keys.add((event.project, event.linked))
        return keys

    def list_named_persons(self, key: PersonKey, value: bytes) -> Iterable[PersonKey]:
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

    trait_reading = TraitReading

    def __init__(
        self,
        projects: Mapping[str, ProjectSettings],
        persons: PersonStates,
        totals: Callable[[ProjectSettings], PeopleTotals] = PeopleTotals,
    ) -> None:
        self._projects, self._persons, self._make_totals = projects, persons, totals
        self._events: EventGroups = {}
        self._with_traits: list[tuple[DecodedEvent, DeclaredValues]] = []  # in the order of reading
        self._orders: dict[int, OrderMade] = {}
        self._begin()

    def _begin(self) -> None:
        """Nothing is calculated yet."""
        self._values: dict[PersonKey, PersonValue | None] = {}
        self._totals: dict[str, PeopleTotals] = {}
        self._changes: dict[PersonKey, None] = {}  # in order
        self._aliases: dict[PersonKey, None] = {}  # ids of events that stand for others
        self._ids_left: defaultdict[str, set[bytes]] = defaultdict(set)  # ids that may be canonical no more
        self.notes: Counter[tuple[str, str]] = Counter()  # (project, note)

    def add(self, records: Sequence[DecodedRecord]) -> None:
        all_events = self._events
        for record in records:
            event = record.event
            if event is None or event.dimensions.is_bot:
                continue
            if record.traits is not None:
                self._with_traits.append((event, record.traits))
            key = (event.project, event.person, event.linked)
            events = all_events.get(key)
            if events is None:
                all_events[key] = [event]
            else:
                events.append(event)

    def settle(self, orders: Sequence[tuple[DecodedEvent, EventCommerce]] = ()) -> PersonNames:
        """Calculate everybody, once all events are there."""
        self._begin()
        self._orders = {
            id(event): OrderMade(event.time_ms, of.units, of.revenue, of.other_currencies) for event, of in orders
        }
        for groups in split_by_time(self._events):
            for (project, person, anonymous), events in groups.items():
                if anonymous:
                    self._link(project, anonymous, person, events)
            for (project, person, anonymous), events in groups.items():
                self._take(project, person, anonymous, events)
        for totals in self._totals.values():
            for cell, fields in totals.make_cells().items():
                self._persons.count(cell, fields)
        traits = self._read_traits() if self._with_traits else {}
        self._store()
        names = self._names()
        names.traits = traits
        return names

    # links -----------------------------------------------------------------------------------------------------

    def _link(self, project: str, anonymous: bytes, user: bytes, events: CollectedEvents) -> None:
        """Give an anonymous id to a user, as of the time of each event that names both."""
        key = (project, anonymous)
        value = self._read_value(key)
        if isinstance(value, Erased):
            return
        if isinstance(value, Alias):
            alias = value
        else:
            alias = Alias(user, -1 if value is None else value.newest_ms, [])
            if value is not None:
                self._unite(project, value, anonymous, user, min(event.time_ms for event in events))
        for time_ms in sorted(event.time_ms for event in events):
            alias, conflicts = with_link(alias, time_ms, user)
            if conflicts:
                self.notes[(project, PersonNote.IDENTITY_CONFLICTS)] += conflicts
        if alias is not value:
            self._set(key, alias)

    def _unite(self, project: str, other: Person, anonymous: bytes, user: bytes, linked_ms: int) -> None:
        """The history of an anonymous id becomes its first user's."""
        self._ids_left[project].add(anonymous)
        value = self._read_value((project, user))
        if value is not None and not isinstance(value, Person):
            return  # erased
        if value is None:
            united_value = other if other.canonical else structs.replace(other, canonical=anonymous)
        else:
            newest_ms, zone = max(value.newest_ms, other.newest_ms, linked_ms), self._projects[project].zone
            two_persons = as_of(value, newest_ms, zone), as_of(other, newest_ms, zone)
            united_value = unite_persons(*two_persons, anonymous)
            self._open_totals(project).change(two_persons, united_value)
            self._ids_left[project].add(value.canonical or user)
            if self._persons[(project, user)] and self._persons[(project, anonymous)]:
                self.notes[(project, PersonNote.LATE_LINKS)] += 1
        self._change((project, user), united_value)

    # events ----------------------------------------------------------------------------------------------------

    def _take(self, project: str, person: bytes, anonymous: bytes, events: CollectedEvents) -> None:
        value = self._read_value((project, person))
        if not isinstance(value, Alias):
            device_value = self._read_value((project, anonymous)) if anonymous else None
            is_own = isinstance(device_value, Alias) and device_value.heir == person
            self._give(project, person, anonymous if is_own else b"", events)
            return
        self._aliases[(project, person)] = None
        by_user: defaultdict[bytes, list[DecodedEvent]] = defaultdict(list)
        for event in events:
            by_user[find_user(value, event.time_ms)].append(event)
        for user, events_of_user in by_user.items():
            self._give(project, user, person if user == value.heir else b"", events_of_user)
        newest_ms = max(event.time_ms for event in events)
        if newest_ms > value.newest_ms:
            self._set((project, person), structs.replace(value, newest_ms=newest_ms))

    def _give(self, project: str, person: bytes, seen_as: bytes, events: CollectedEvents) -> None:
        """Events to a person. There is at least one."""
        key = (project, person)
        before = self._read_value(key)
        if before is not None and not isinstance(before, Person):  # erased
            _count_apart(self._open_totals(project), [o for e in events if (o := self._orders.get(id(e)))])
            return
        zone, totals, after = self._projects[project].zone, self._open_totals(project), before
        while after is None or events:
            earlier = after
            after, late, events, late_orders = take_events(earlier, events, self._orders, zone, seen_as)
            if late_orders:
                _count_apart(totals, late_orders)
            if late:
                self.notes[(project, PersonNote.LATE_STATE)] += late
            totals.change((earlier,) if earlier is not None else (), after)
            after = without_old_sessions(after)
        if before is not None and before.canonical != after.canonical:
            self._ids_left[project].add(before.canonical or person)
            if self._persons[key]:
                self.notes[(project, PersonNote.LATE_LINKS)] += 1
        self._change(key, after)

    # traits ----------------------------------------------------------------------------------------------------

    def _read_traits(self) -> dict[int, DeclaredValues]:
        """By which traits events count; and what is known of each person who has changed."""
        reading = self.trait_reading(self._projects, lambda key: decode_value(self._persons[key]), self._read_value)
        values = reading.read(self._with_traits)
        for key in self._changes:
            person, declares = self._values[key], self._projects[key[0]].user_traits
            if declares and isinstance(person, Person) and (traits := reading.find_traits(key)):
                self._values[key] = structs.replace(person, traits=traits)
        return values

    # values ----------------------------------------------------------------------------------------------------

    def _read_value(self, key: PersonKey) -> PersonValue | None:
        value = self._values.get(key, UNREAD)
        if value is UNREAD:
            value = self._values[key] = decode_value(self._persons[key])
        return value

    def _set(self, key: PersonKey, value: PersonValue) -> None:
        self._values[key] = value
        self._changes[key] = None

    def _change(self, key: PersonKey, person: Person) -> None:
        self._values[key] = person
        self._changes[key] = None

    def _open_totals(self, project: str) -> PeopleTotals:
        totals = self._totals.get(project)
        if totals is None:
            totals = self._totals[project] = self._make_totals(self._projects[project])
        return totals

    def _store(self) -> None:
        """What was read and has not changed is compared all the same."""
        values = self._values
        self._persons.write({key: encode_value(value) for key in self._changes if (value := values[key]) is not None})

    # names -----------------------------------------------------------------------------------------------------

    def _names(self) -> PersonNames:
        """Who is who at the end of the batch."""
        names = PersonNames()
        for key in self._changes:
            project, person = key
            value = self._values[key]
            if not isinstance(value, Person):
                continue
            online = names.online.get(project)
            if online is None:
                online = names.online[project] = {}
            online[value.canonical or person] = value.newest_ms
            if value.canonical:
                names.canonical.setdefault(project, {})[person] = value.canonical
        for project, ids in self._ids_left.items():
            names.left_online[project] = ids - names.online.get(project, {}).keys()
        for project, person in self._aliases:
            self._name_alias(names, project, person)
        return names

    def _name_alias(self, names: PersonNames, project: str, person: bytes) -> None:
        value = self._values[(project, person)]
        assert isinstance(value, Alias)
        if len({user for _, user in value.links} | {value.heir}) > 1:
            users = [(time_ms, self._find_canonical(project, user)) for time_ms, user in value.links]
            names.by_time.setdefault(project, {})[person] = (self._find_canonical(project, value.heir), users)
            return
        canonical = self._find_canonical(project, value.heir)
        if canonical != person:
            names.canonical.setdefault(project, {})[person] = canonical

    def _find_canonical(self, project: str, person: bytes) -> bytes:
        value = self._read_value((project, person))
        return value.canonical or person if isinstance(value, Person) else person


def _count_apart(totals: PeopleTotals, orders: Sequence[OrderMade]) -> None:
    """Orders that belong to no session that is known."""
    for order in orders:
        totals.count_order(order)
