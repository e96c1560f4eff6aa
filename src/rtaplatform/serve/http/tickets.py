"""Tickets for live streams: a browser's EventSource cannot send a key in a header.   Stage 6 of 6.

Sessions of the dashboard are tickets too (`serve/session/sessions.py`), with other secrets and a longer life.

A ticket is signed and not stored, so every API process can read it, and tickets of others cannot push it out. For an
hour it opens one stream, and reconnects of that stream. `EventSource` reconnects by itself, with the same URL and the
last `id` that it has seen. The ids of a ticket's stream end in its `chain`, which nobody else can know.
The format is base64url of a version, the second of issue, a nonce, the SHA-256 of the key, and an HMAC of all these.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import struct
import time
from collections.abc import Callable

from msgspec import Struct

from rtaplatform.serve.http.ticket_vault import TicketVault

LIFE_SECONDS = 3_600
CLOCKS_APART_SECONDS = 300  # by which the clocks of two API machines may differ
_BODY = struct.Struct(">BI12s32s")  # version, issued at, nonce, SHA-256 of the key
_VERSION, _MAC_BYTES, _CHAIN_BYTES = 1, 16, 9
TICKET_CHARS = -(-(_BODY.size + _MAC_BYTES) * 4 // 3)
CHAIN_MARK = "~"


class Ticket(Struct, frozen=True):
    """A ticket with a valid signature. `key_hash` is the SHA-256 of its key; `ends_at` is in seconds since 1970."""

    key_hash: bytes
    nonce: str
    chain: str
    ends_at: float

    def continues(self, last_event_id: str | None) -> bool:
        """Whether the last event came from this ticket's stream."""
        _, mark, chain = (last_event_id or "").rpartition(CHAIN_MARK)
        return bool(mark) and hmac.compare_digest(chain.encode(), self.chain.encode())


class Tickets:
    def __init__(
        self,
        vault: TicketVault | None = None,
        now: Callable[[], float] = time.time,
        *,
        life_seconds: int = LIFE_SECONDS,
    ) -> None:
        self._vault, self._now, self._life_seconds = vault or TicketVault(), now, life_seconds

    async def issue(self, key_hash: bytes) -> str:
        """Issue a ticket for the key with this SHA-256."""
        now = int(self._now())
        body = _BODY.pack(_VERSION, now, secrets.token_bytes(12), key_hash)
        return _encode(
            body + _compute_mac(await self._vault.find_signing_secret(now // self._vault.period_seconds), body)
        )

    async def read(self, text: str) -> Ticket | None:
        """Read a ticket, even after its end. None if it is not ours, or older than a period of its secrets."""
        raw = _decode(text)
        if raw is None or len(raw) != _BODY.size + _MAC_BYTES or raw[0] != _VERSION:
            return None
        body, mac = raw[: _BODY.size], raw[_BODY.size :]
        _, issued_at, nonce, key_hash = _BODY.unpack(body)
        if not self._now() - self._vault.period_seconds < issued_at <= self._now() + CLOCKS_APART_SECONDS:
            return None
        secret = await self._find_secret(issued_at // self._vault.period_seconds, body, mac)
        if secret is None:
            return None
        chain = _encode(_compute_mac(secret, b"chain" + nonce)[:_CHAIN_BYTES])
        return Ticket(key_hash, _encode(nonce), chain, issued_at + self._life_seconds)

    def is_over(self, ticket: Ticket) -> bool:
        return self._now() >= ticket.ends_at

    def count_seconds_left(self, ticket: Ticket) -> float:
        return max(0.0, ticket.ends_at - self._now())

    async def claim(self, ticket: Ticket) -> bool:
        """Claim the ticket for a stream. False if it has opened one before."""
        return await self._vault.claim(ticket.nonce, self.count_seconds_left(ticket) + CLOCKS_APART_SECONDS)

    async def release(self, ticket: Ticket) -> None:
        """Undo a claim: no stream was opened."""
        await self._vault.release(ticket.nonce)

    async def _find_secret(self, period: int, body: bytes, mac: bytes) -> bytes | None:
        """Find the secret that the ticket was signed with."""
        for is_missing in (False, True):
            for secret in await self._vault.find_secrets(period, is_missing=is_missing):
                if hmac.compare_digest(_compute_mac(secret, body), mac):
                    return secret
        return None


def _compute_mac(secret: bytes, body: bytes) -> bytes:
    return hmac.digest(secret, body, hashlib.sha256)[:_MAC_BYTES]


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decode(text: str) -> bytes | None:
    if len(text) != TICKET_CHARS or not text.isascii():
        return None
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return None
