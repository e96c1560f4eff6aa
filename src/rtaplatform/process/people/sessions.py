"""Sessions: a person's events without a gap of more than 30 minutes.   Pure.   Stage 3 of 6.

A session is an interval. Intervals that are at most 30 minutes apart are one, whichever was known first, so a list of
sessions is a function of the set of events. A session has the source, country, device, origin and page of its first
event; where several events are first, the smallest of these. Its exit page is that of its last event.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from rtaplatform.process.decode.fast import DecodedEvent

GAP_MS = 30 * 60_000
HAS_ORDER, HAS_ADD = 1, 2
FLAGS = {"Order Completed": HAS_ORDER, "Product Added": HAS_ADD}


class Session(Struct, frozen=True, array_like=True, gc=False):
    """Its start and its length, of which the last event is the end; how many events; HAS_ORDER and HAS_ADD."""

    start_ms: int
    length_ms: int
    events: int
    flags: int
    source: str
    country: str
    device: str
    origin: str = ""  # campaign, referrer and channel, as in a field of a rollup; empty: none of them
    entry_page: str = ""
    exit_page: str = ""

    @property
    def end_ms(self) -> int:
        return self.start_ms + self.length_ms


def with_events(sessions: Sequence[Session], events: Iterable[DecodedEvent]) -> list[Session]:
    """The sessions with these events more. Nearly all events come in order, and belong to the last session."""
    all_sessions, early = list(sessions), list[Session]()
    for event in events:
        time_ms, dimensions, page = event.time_ms, event.dimensions, event.page
        last, flags = all_sessions[-1] if all_sessions else None, FLAGS.get(dimensions.name, 0)
        if last is not None and last.start_ms < time_ms <= last.start_ms + last.length_ms + GAP_MS:
            all_sessions[-1] = _with_event(last, time_ms, flags, page)
            continue
        session = Session(
            time_ms, 0, 1, flags, dimensions.source, dimensions.country, dimensions.device, event.visit.origin, page,
            page,
        )  # fmt: skip
        (early if last is not None and time_ms <= last.start_ms else all_sessions).append(session)
    return unite_sessions([*all_sessions, *early]) if early else all_sessions


def _with_event(session: Session, time_ms: int, flags: int, page: str) -> Session:
    length_ms, exit_page = time_ms - session.start_ms, session.exit_page
    if length_ms > session.length_ms or (length_ms == session.length_ms and page > exit_page):
        exit_page = page
    return Session(
        session.start_ms,
        length_ms if length_ms > session.length_ms else session.length_ms,
        session.events + 1,
        session.flags | flags,
        session.source,
        session.country,
        session.device,
        session.origin,
        session.entry_page,
        exit_page,
    )


def join_sessions(session: Session, other: Session) -> Session:
    """Both as one, whatever lies between them."""
    first = min(session, other, key=_make_sort_key)
    end_ms = max(session.end_ms, other.end_ms)
    return Session(
        first.start_ms,
        end_ms - first.start_ms,
        session.events + other.events,
        session.flags | other.flags,
        first.source,
        first.country,
        first.device,
        first.origin,
        first.entry_page,
        max((session.end_ms, session.exit_page), (other.end_ms, other.exit_page))[1],
    )


def unite_sessions(sessions: Iterable[Session]) -> list[Session]:
    """The sessions that these come to, in order of time. One that meets no other is the same object as before."""
    united_sessions: list[Session] = []
    end_ms = -GAP_MS
    for session in sorted(sessions, key=_make_sort_key):
        if united_sessions and session.start_ms - end_ms <= GAP_MS:
            united_sessions[-1] = join_sessions(united_sessions[-1], session)
        else:
            united_sessions.append(session)
        end_ms = united_sessions[-1].end_ms
    return united_sessions


def _make_sort_key(session: Session) -> tuple[int, str, str, str, str, str]:
    first_event = session.source, session.country, session.device, session.origin, session.entry_page
    return session.start_ms, *first_event
