"""What is kept of a person: first seen, active days, sessions. Packed, it is the person's value in the store.

Pure.   Stage 3 of 6.   A value is a function of the set of the person's events, never of their order, as long as no
event is too late. Lateness is judged against the person's own newest event, so imported history is as good as live
traffic: sessions take events that are up to 24 hours older, days those up to 32 days older.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
from msgspec import Struct, structs

from rtaplatform.core.time.buckets import HOUR_MS, MINUTE_MS
from rtaplatform.process.decode.fast import DecodedEvent
from rtaplatform.process.people.identity import Alias
from rtaplatform.process.people.local_days import find_local_day
from rtaplatform.process.people.orders import OrderMade
from rtaplatform.process.people.sessions import GAP_MS, Session, unite_sessions, with_events

SESSION_LATE_MS = 24 * HOUR_MS
# Sessions are kept longer than an event may be late, so that a link that comes late finds what it unites.
SESSIONS_KEPT_MS = 36 * HOUR_MS
DAYS_LATE = 32
MASK_DAYS = 64
MASK = (1 << MASK_DAYS) - 1
NO_DAY = -(1 << 40)  # before all days
NO_ORDERS: Sequence[OrderMade] = ()


CollectedEvents = Sequence[DecodedEvent]
OrdersByEvent = Mapping[int, OrderMade]  # by the identity of their event


class KnownTrait(Struct, frozen=True, array_like=True, gc=False):
    """The latest text of a declared trait, and the time of its identify event. Empty text: the trait was removed."""

    name: str
    text: str
    time_ms: int


class Person(Struct, frozen=True, array_like=True, tag=0):
    """A person. `canonical`: the id of the group that was seen first, where it is another than the value's own.

    Bit k of `mask`: the person was active k days before `newest_day`. `sessions` and `orders` are ordered by time.
    `traits` are ordered by name, and only there where the project declares some: known_traits.py adds them.
    """

    first_ms: int
    canonical: bytes
    newest_ms: int
    newest_day: int
    mask: int
    sessions: list[Session]
    orders: list[OrderMade] = []
    traits: tuple[KnownTrait, ...] = ()


class TakenEvents(NamedTuple):
    """The person after some events; how many of them came too late for days or sessions; events and orders left over.

    Events are left where they would push a day out of the mask that these events have added. It must be counted first.
    Orders are left that came too late for the session in which they fell.
    """

    person: Person
    late: int
    events: CollectedEvents
    orders: Sequence[OrderMade]


class Erased(Struct, frozen=True, array_like=True, tag=2):
    """A person who was erased: nothing is kept any more."""


SERVER = "server"  # the source whose events are in no session
PersonValue = Person | Alias | Erased
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(PersonValue).decode
ERASED_VALUE = _encode(Erased())
_SEVEN_FIELDS = bytes((0x90 | 1 + 7,))  # MessagePack's list of the tag and the fields without `traits`


def decode_value(stored_value: bytes) -> PersonValue | None:
    """None where there is nothing."""
    return _decode(stored_value) if stored_value else None


def encode_value(value: PersonValue) -> bytes:
    """A person of whom no trait is known has no list of traits: the last byte of the text would be an empty one."""
    packed_value = _encode(value)
    return _SEVEN_FIELDS + packed_value[1:-1] if type(value) is Person and not value.traits else packed_value


def take_events(
    before: Person | None, events: CollectedEvents, orders: OrdersByEvent, zone: str, seen_as: bytes = b""
) -> TakenEvents:
    """The person with these events more. `orders`: those of the events that count as orders, and others.

    `seen_as`: the anonymous id that they name, where it belongs to the person; empty: only the person's own id.
    Sessions that have grown old are still there: `without_old_sessions` takes them away, once they are counted.
    """
    before = before or _begin_person(events[0].time_ms, seen_as, zone)
    first_ms, canonical, mask = before.first_ms, before.canonical, before.mask
    newest_ms, newest_day = before.newest_ms, before.newest_day
    visits: list[DecodedEvent] = []
    late, last_day, later_events = 0, NO_DAY, events[:0]
    for index, event in enumerate(events):
        time_ms = event.time_ms
        day = find_local_day(time_ms // MINUTE_MS, zone)
        if day != newest_day:
            if newest_day - day > DAYS_LATE:
                late += 1
                continue
            if day > newest_day:
                if NO_DAY < last_day < day:
                    later_events = events[index:]
                    break
                mask = mask << (day - newest_day) & MASK if day - newest_day < MASK_DAYS else 0
                newest_day = day
        mask |= 1 << (newest_day - day)
        if last_day == NO_DAY:
            last_day = newest_day + MASK_DAYS - DAYS_LATE - 1
        if time_ms > newest_ms:
            newest_ms = time_ms
        elif time_ms <= first_ms and (time_ms < first_ms or _is_smaller(seen_as, canonical)):
            first_ms, canonical = time_ms, seen_as
        if event.dimensions.source == SERVER:
            continue
        if newest_ms - time_ms > SESSION_LATE_MS:
            late += 1
        else:
            visits.append(event)
    sessions = with_events(before.sessions, visits) if visits else before.sessions
    all_orders, late_orders = before.orders, NO_ORDERS
    if orders and not orders.keys().isdisjoint(map(id, events)):
        orders_in_time, late_orders = _split_orders(events[: len(events) - len(later_events)], orders, before.newest_ms)
        all_orders = sorted([*all_orders, *orders_in_time])
    after = Person(first_ms, canonical, newest_ms, newest_day, mask, sessions, all_orders)
    return TakenEvents(after, late, later_events, late_orders)


def _split_orders(
    events: CollectedEvents, orders: OrdersByEvent, newest_ms: int
) -> tuple[list[OrderMade], list[OrderMade]]:
    """The orders among these events: those that sessions can still take, and those that came too late for it."""
    orders_in_time: list[OrderMade] = []
    late: list[OrderMade] = []
    for event in events:
        newest_ms = max(newest_ms, event.time_ms)
        order = orders.get(id(event))
        if order is not None:
            (late if newest_ms - event.time_ms > SESSION_LATE_MS else orders_in_time).append(order)
    return orders_in_time, late


def _begin_person(first_ms: int, seen_as: bytes, zone: str) -> Person:
    """A person whose first event is about to be taken."""
    return Person(first_ms, seen_as, first_ms, find_local_day(first_ms // MINUTE_MS, zone), 0, [])


def unite_persons(user: Person, other: Person, other_id: bytes) -> Person:
    """A user and the person that an anonymous id was, as one. Both are `as_of` the time of the link."""
    newest_day = max(user.newest_day, other.newest_day)
    first_ms, canonical = user.first_ms, user.canonical
    if other.first_ms < first_ms or (other.first_ms == first_ms and _is_smaller(other_id, canonical)):
        first_ms, canonical = other.first_ms, other_id
    return Person(
        first_ms,
        canonical,
        max(user.newest_ms, other.newest_ms),
        newest_day,
        align_mask(user, newest_day) | align_mask(other, newest_day),
        unite_sessions([*user.sessions, *other.sessions]),
        sorted([*user.orders, *other.orders]),
    )


def as_of(person: Person, time_ms: int, zone: str) -> Person:
    """The person as if there had been an event at that time: without what would be too old to change then."""
    if time_ms <= person.newest_ms:
        return person
    day = max(person.newest_day, find_local_day(time_ms // MINUTE_MS, zone))
    aged = structs.replace(person, newest_ms=time_ms, newest_day=day, mask=align_mask(person, day))
    return without_old_sessions(aged)


def align_mask(person: Person, newest_day: int) -> int:
    """The person's active days, counted back from a day that is no earlier than his newest."""
    shift = newest_day - person.newest_day
    return person.mask << shift & MASK if shift < MASK_DAYS else 0


def without_old_sessions(person: Person) -> Person:
    """Without the sessions that no event can change any more, and without the orders that fell into them."""
    before_ms = person.newest_ms - SESSIONS_KEPT_MS
    if person.orders and person.orders[0].time_ms < before_ms + GAP_MS:
        person = structs.replace(person, orders=[o for o in person.orders if o.time_ms >= before_ms + GAP_MS])
    if not person.sessions or person.sessions[0].end_ms >= before_ms:
        return person
    return structs.replace(person, sessions=[session for session in person.sessions if session.end_ms >= before_ms])


def _is_smaller(id_: bytes, than: bytes) -> bool:
    """Which of two ids that were seen at the same time is canonical: an anonymous one before the user's own (empty)."""
    return bool(id_) and (not than or id_ < than)
