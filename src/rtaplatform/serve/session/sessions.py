"""Sessions of the dashboard, and one-time codes that open one.   Stage 6 of 6.

Both are tickets (`serve/http/tickets.py`) with secrets of their own: signed and not stored, so that every API process
can read them, also after a restart. A session stands for its key, and ends with it. A code opens one session.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from rtaplatform.serve.http.ticket_vault import SharedValues, TicketVault
from rtaplatform.serve.http.tickets import Ticket, Tickets

SESSION_SECONDS = 30 * 86_400
RENEW_SECONDS = 86_400  # a session that is used gets a new life at most once a day
CODE_SECONDS = 600


class Sessions:
    def __init__(self, shared_values: SharedValues | None = None, now: Callable[[], float] = time.time) -> None:
        """With `shared_values` None, a session is valid at the process that opened it, until that process ends."""
        sessions = TicketVault(shared_values, now, purpose="session", period_seconds=SESSION_SECONDS)
        codes = TicketVault(shared_values, now, purpose="code")
        self._sessions = Tickets(sessions, now, life_seconds=SESSION_SECONDS)
        self._codes = Tickets(codes, now, life_seconds=CODE_SECONDS)

    async def open(self, key_hash: bytes) -> str:
        """Open a session for the key with this SHA-256. Returns the content of its cookie."""
        return await self._sessions.issue(key_hash)

    async def read(self, text: str) -> Ticket | None:
        """Read the content of a cookie. None if it is not ours, or over."""
        return await _read_valid(self._sessions, text)

    def is_to_renew(self, session: Ticket) -> bool:
        return self._sessions.count_seconds_left(session) < SESSION_SECONDS - RENEW_SECONDS

    async def make_code(self, key_hash: bytes) -> str:
        return await self._codes.issue(key_hash)

    async def take_code(self, text: str) -> bytes | None:
        """Use up a code. Returns the SHA-256 of its key; None if it is not ours, over, or used already."""
        code = await _read_valid(self._codes, text)
        return code.key_hash if code is not None and await self._codes.claim(code) else None


async def _read_valid(tickets: Tickets, text: str) -> Ticket | None:
    ticket = await tickets.read(text)
    return None if ticket is None or tickets.is_over(ticket) else ticket
