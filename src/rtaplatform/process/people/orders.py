"""A person's orders, and the origin of the session in which each of them fell.   Pure.   Stage 3 of 6.

An order belongs to the session whose events surround it, or that ended at most 30 minutes before it. So a server's
report of an order, which is itself in no session, belongs to the visit that led to it. A change of the sessions moves
the orders with it, as far as the value has them: those of the last 35.5 hours.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from operator import attrgetter

from msgspec import Struct

from rtaplatform.process.people.sessions import GAP_MS, Session

_start_of = attrgetter("start_ms")


class OrderMade(Struct, frozen=True, array_like=True, gc=False, order=True):
    """An order that counts: when, and what it adds. Amounts are in 10⁻⁴ units."""

    time_ms: int
    units: int
    revenue: int
    other_currencies: int


def find_origin(sessions: Sequence[Session], time_ms: int) -> str:
    """Where the visit came from that was going on at that time; empty if none was. Sessions are in order of time."""
    at = bisect_right(sessions, time_ms, key=_start_of)
    if not at or time_ms > sessions[at - 1].end_ms + GAP_MS:
        return ""
    return sessions[at - 1].origin
