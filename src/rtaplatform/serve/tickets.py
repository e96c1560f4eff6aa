"""Tickets: what a browser's EventSource shows instead of a key, which it cannot send in a header.   Stage 6 of 6.

A ticket is random, works once, for 60 s, and opens what the key that asked for it opens. It lives in the memory
of the process that made it, at most TICKETS_MAX at a time: several API processes need a balancer that keeps a
client at one of them.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

from msgspec import Struct

LIFE_S = 60.0
TICKETS_MAX = 10_000


class _Entry(Struct, frozen=True):
    key: str
    expires_s: float


class Tickets:
    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._entries: dict[str, _Entry] = {}

    def issue(self, key: str) -> str:
        """A ticket for what `key` opens. The oldest gives way where there are too many."""
        now = self._now()
        # Entries are in order of expiry, since all live equally long.
        while self._entries and (
            len(self._entries) >= TICKETS_MAX or next(iter(self._entries.values())).expires_s <= now
        ):
            del self._entries[next(iter(self._entries))]
        ticket = secrets.token_urlsafe(24)
        self._entries[ticket] = _Entry(key, now + LIFE_S)
        return ticket

    def redeem(self, ticket: str) -> str | None:
        """The key behind the ticket, which is used up; None where it is unknown, used or too old."""
        entry = self._entries.pop(ticket, None)
        return entry.key if entry is not None and self._now() < entry.expires_s else None
