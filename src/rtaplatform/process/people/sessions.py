"""Sessions: a person's events without a gap of more than 30 minutes.   Pure.   Stage 3 of 6.

A session is an interval. Intervals that are at most 30 minutes apart are one, whichever was known first, so a list of
sessions is a function of the set of events. A session has the source, country and device of its first event; where
several events are first, the smallest of these.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

GAP_MS = 30 * 60_000
HAS_ORDER, HAS_ADD = 1, 2


class Session(Struct, frozen=True, array_like=True, gc=False):
    """Its start and its length, of which the last event is the end; how many events; HAS_ORDER and HAS_ADD."""

    start_ms: int
    length_ms: int
    events: int
    flags: int
    source: str
    country: str
    device: str

    @property
    def end_ms(self) -> int:
        return self.start_ms + self.length_ms


def join_sessions(one: Session, other: Session) -> Session:
    """Both as one, whatever lies between them."""
    first = min(one, other, key=_order)
    end_ms = max(one.end_ms, other.end_ms)
    return Session(
        first.start_ms,
        end_ms - first.start_ms,
        one.events + other.events,
        one.flags | other.flags,
        first.source,
        first.country,
        first.device,
    )


def unite_sessions(sessions: Iterable[Session]) -> list[Session]:
    """The sessions that these come to, in order of time. One that meets no other is the same object as before."""
    united: list[Session] = []
    end_ms = -GAP_MS
    for session in sorted(sessions, key=_order):
        if united and session.start_ms - end_ms <= GAP_MS:
            united[-1] = join_sessions(united[-1], session)
        else:
            united.append(session)
        end_ms = united[-1].end_ms
    return united


def _order(session: Session) -> tuple[int, str, str, str]:
    return session.start_ms, session.source, session.country, session.device
