"""The oracle's sessions by origin and page, and its orders by the session in which they fell (rule 7)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from rtaplatform.simulate.oracle.oracle_calendar import find_bucket_starts

NO_ORIGIN = ("", "", "", "", "")
_GAP = 30 * 60_000


class OracleOrder(NamedTuple):
    """What an order adds."""

    units: int
    revenue: int
    other_currencies: int


TimedOrder = tuple[int, OracleOrder]


class OriginRow(NamedTuple):
    """Numbers that are added to the buckets of a time, under these values."""

    rollup: str
    time: int
    values: tuple[str, ...]
    numbers: dict[str, int]


class TimedSession(Protocol):
    """A session, as far as it is counted here."""

    @property
    def start(self) -> int: ...
    @property
    def length(self) -> int: ...
    @property
    def dimensions(self) -> tuple[str, str, str]: ...
    @property
    def names(self) -> list[str]: ...
    @property
    def origin(self) -> tuple[str, ...]: ...
    @property
    def entry(self) -> str: ...
    @property
    def exit(self) -> str: ...


def read_numbers(session: TimedSession) -> dict[str, int]:
    """Return what a session adds."""
    has_order, has_add = "Order Completed" in session.names, "Product Added" in session.names
    return {
        "sessions": 1, "events": len(session.names), "duration_ms": session.length,
        "bounces": int(len(session.names) == 1), "with_order": int(has_order), "with_add": int(has_add),
        "with_add_and_order": int(has_order and has_add),
    }  # fmt: skip


def count_sessions(sessions: Iterable[TimedSession]) -> Iterator[OriginRow]:
    """Yield what sessions add by origin, and by their first and last page."""
    for session in sessions:
        yield OriginRow("origins", session.start, session.origin, read_numbers(session))
        source = session.dimensions[0]
        yield OriginRow("session_pages", session.start, (session.entry, source), {"entries": 1})
        yield OriginRow("session_pages", session.start, (session.exit, source), {"exits": 1})


def count_orders(sessions: Sequence[TimedSession], orders: Iterable[TimedOrder]) -> Iterator[OriginRow]:
    """Yield what orders add: by the origin of the session that surrounds them, or that ended 30 minutes before.

    The sessions are in order of time, over 30 minutes apart: at most one of them does.
    """
    starts = [session.start for session in sessions]
    for time, order in orders:
        last = sessions[at - 1] if (at := bisect_right(starts, time)) else None
        is_near = last is not None and time <= last.start + last.length + _GAP
        origin = last.origin if last is not None and is_near else NO_ORIGIN
        yield OriginRow("origins", time, origin, {"orders": 1, **order._asdict()})


def count_cells(rows: Iterable[OriginRow], zone: str) -> Iterator[tuple[tuple[str, str, int], str, int]]:
    """Yield what rows add to hours and days: to the sums, and to their values."""
    for rollup, time, values, numbers in rows:
        starts = find_bucket_starts(time, zone)
        for kind in ("hour", "day"):
            for name, n in numbers.items():
                yield (rollup, kind, starts[kind]), name, n
                yield (rollup, kind, starts[kind]), "\x1f".join((name, *values)), n
