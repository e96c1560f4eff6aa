"""Whose events a request has, if they are those of one person: read without reading the events.   Stage 1 of 6, pure.

A device sends its own visitor's events. A server sends those of many; it is no device, and not limited as one.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from rtaplatform.core.events import EVENT_BYTES_MAX
from rtaplatform.core.values.ids import ID_BYTES_MAX

_NOBODY = Raw(b"null")


class _Sender(Struct):
    anonymousId: Raw = _NOBODY  # noqa: N815  # the name on the wire
    userId: Raw = _NOBODY  # noqa: N815
    distinct_id: Raw = _NOBODY  # PostHog's


_decode = msgspec.json.Decoder(_Sender).decode


def find_sender(first: bytes | Raw, last: bytes | Raw) -> str | None:
    """The person of both events, as it is written; None if they are of two persons, or cannot be read."""
    sender = _read_sender(first)
    return sender if last is first or sender is None or _read_sender(last) == sender else None


def _read_sender(event: bytes | Raw) -> str | None:
    if len(bytes(event)) > EVENT_BYTES_MAX:
        return None
    try:
        sender = _decode(event)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    for raw in (sender.anonymousId, sender.userId, sender.distinct_id):
        text = bytes(raw)
        if text not in (b"null", b'""') and len(text) <= ID_BYTES_MAX + 2:
            return text.decode(errors="replace")
    return None
