"""What is kept of a person: first seen, active days, sessions. Packed, it is the person's value in the store.

Pure.   Stage 3 of 6.   A value is a function of the set of the person's events, never of their order, as long as no
event is too late. Lateness is judged against the person's own newest event, so imported history is as good as live
traffic: sessions take events that are up to 24 hours older, days those up to 32 days older.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct, structs

from rtaplatform.core.time.buckets import HOUR_MS, MINUTE_MS
from rtaplatform.process.decode.fast import EventDimensions
from rtaplatform.process.people.identity import Alias
from rtaplatform.process.people.local_days import local_day
from rtaplatform.process.people.sessions import HAS_ADD, HAS_ORDER, Session, unite_sessions

SESSION_LATE_MS = 24 * HOUR_MS
# Sessions are kept longer than an event may be late, so that a link that comes late finds what it unites.
SESSIONS_KEPT_MS = 36 * HOUR_MS
DAYS_LATE = 32
MASK_DAYS = 64
MASK = (1 << MASK_DAYS) - 1
NO_DAY = -(1 << 40)  # before all days


class Person(Struct, frozen=True, array_like=True, tag=0):
    """A person. `canonical`: the id of the group that was seen first, where it is another than the value's own.

    Bit k of `mask`: the person was active k days before `newest_day`. `sessions` are ordered by time.
    """

    first_ms: int
    canonical: bytes
    newest_ms: int
    newest_day: int
    mask: int
    sessions: list[Session]


class Erased(Struct, frozen=True, array_like=True, tag=2):
    """A person who was erased: nothing is kept any more."""


FLAGS = {"Order Completed": HAS_ORDER, "Product Added": HAS_ADD}
SERVER = "server"  # the source whose events are in no session
CollectedEvents = Sequence[tuple[int, EventDimensions]]  # times, and what the events are
PersonValue = Person | Alias | Erased
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(PersonValue).decode
ERASED_VALUE = _encode(Erased())


def decode_value(stored: bytes) -> PersonValue | None:
    """None where there is nothing."""
    return _decode(stored) if stored else None


def encode_value(value: PersonValue) -> bytes:
    return _encode(value)


def take_events(
    before: Person | None, events: CollectedEvents, zone: str, seen_as: bytes = b""
) -> tuple[Person, int, CollectedEvents]:
    """The person with these events more, how many of them came too late for days or sessions, and events that are left.

    Events are left where they would push a day out of the mask that these events have added. It must be counted first.
    `seen_as`: the anonymous id that they name, where it belongs to the person; empty: only the person's own id.
    Sessions that have grown old are still there: `without_old_sessions` takes them away, once they are counted.
    """
    before = before or _begin_person(events[0][0], seen_as, zone)
    first_ms, canonical, mask = before.first_ms, before.canonical, before.mask
    newest_ms, newest_day = before.newest_ms, before.newest_day
    sessions: list[Session] = []
    late, last_day, rest = 0, NO_DAY, events[:0]
    for index, (time_ms, dimensions) in enumerate(events):
        day = local_day(time_ms // MINUTE_MS, zone)
        if day != newest_day:
            if newest_day - day > DAYS_LATE:
                late += 1
                continue
            if day > newest_day:
                if NO_DAY < last_day < day:
                    rest = events[index:]
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
        if dimensions.source == SERVER:
            continue
        if newest_ms - time_ms > SESSION_LATE_MS:
            late += 1
        else:
            sessions.append(_session_of(time_ms, dimensions))
    united = before.sessions
    if sessions:
        united = unite_sessions([*united, *sessions]) if united or len(sessions) > 1 else sessions
    return Person(first_ms, canonical, newest_ms, newest_day, mask, united), late, rest


def _begin_person(first_ms: int, seen_as: bytes, zone: str) -> Person:
    """A person whose first event is about to be taken."""
    return Person(first_ms, seen_as, first_ms, local_day(first_ms // MINUTE_MS, zone), 0, [])


def _session_of(time_ms: int, dimensions: EventDimensions) -> Session:
    flags = FLAGS.get(dimensions.name, 0)
    return Session(time_ms, 0, 1, flags, dimensions.source, dimensions.country, dimensions.device)


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
        aligned_mask(user, newest_day) | aligned_mask(other, newest_day),
        unite_sessions([*user.sessions, *other.sessions]),
    )


def as_of(person: Person, time_ms: int, zone: str) -> Person:
    """The person as if there had been an event at that time: without what would be too old to change then."""
    if time_ms <= person.newest_ms:
        return person
    day = max(person.newest_day, local_day(time_ms // MINUTE_MS, zone))
    aged = structs.replace(person, newest_ms=time_ms, newest_day=day, mask=aligned_mask(person, day))
    return without_old_sessions(aged)


def aligned_mask(person: Person, newest_day: int) -> int:
    """The person's active days, counted back from a day that is no earlier than his newest."""
    shift = newest_day - person.newest_day
    return person.mask << shift & MASK if shift < MASK_DAYS else 0


def without_old_sessions(person: Person) -> Person:
    """Without the sessions that no event can change any more."""
    before_ms = person.newest_ms - SESSIONS_KEPT_MS
    if not person.sessions or person.sessions[0].end_ms >= before_ms:
        return person
    return structs.replace(person, sessions=[session for session in person.sessions if session.end_ms >= before_ms])


def _is_smaller(id_: bytes, than: bytes) -> bool:
    """Which of two ids that were seen at the same time is canonical: an anonymous one before the user's own (empty)."""
    return bool(id_) and (not than or id_ < than)
