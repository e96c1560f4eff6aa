"""What a batch says for each of its events: `context` and `integrations`, read and judged once.   Pure.

What cannot be read is left out: a slip of the batch costs no event. What is over a limit would make each event one
that is over it, and refuses them, without being merged into any.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct

from rtaplatform.collect.body.json_reading import UnreadableJson, decode, read_json
from rtaplatform.core.events import KEYS_MAX, Reason
from rtaplatform.core.values.json_shape import find_excess
from rtaplatform.core.values.json_text import is_nothing

DEFAULTS_BYTES_MAX = 7_168  # of the 8 KiB that a record may be larger than an event
_OBJECT = msgspec.json.Decoder(dict[str, Raw])


class ExcessFlaw(Struct, frozen=True):
    """Why no event of the batch can be taken."""

    reason: Reason
    field: str
    detail: str


class BatchDefaults(Struct, frozen=True):
    """`context` as sent and `context_values` decoded; `excess`: what makes them too much for any event."""

    context: dict[str, Raw] = {}
    context_values: dict[str, Any] = {}
    integrations: Raw | None = None
    excess: ExcessFlaw | None = None


def read_defaults(context: Raw | bytes, integrations: Raw | bytes) -> BatchDefaults:
    size = len(context) + len(integrations)
    if size > DEFAULTS_BYTES_MAX:
        detail = f"What the batch adds to each event has {size} bytes; at most {DEFAULTS_BYTES_MAX}."
        return BatchDefaults(excess=ExcessFlaw(Reason.TOO_LARGE, "context", detail))
    for name, raw in (("context", context), ("integrations", integrations)):
        flaw = find_excess(b"[" + bytes(raw) + b"]", KEYS_MAX)
        if flaw is not None:
            return BatchDefaults(excess=ExcessFlaw(flaw.reason, name, flaw.detail))
    return BatchDefaults(*_read_context(context), _read_integrations(integrations))


def _read_context(raw: Raw | bytes) -> tuple[dict[str, Raw], dict[str, Any]]:
    if is_nothing(raw):
        return {}, {}
    try:
        read = read_json(bytes(raw))
        return (decode(read.text, _OBJECT), read.value) if isinstance(read.value, dict) else ({}, {})
    except UnreadableJson:
        return {}, {}


def _read_integrations(raw: Raw | bytes) -> Raw | None:
    if is_nothing(raw):
        return None
    try:
        return Raw(read_json(bytes(raw)).text)
    except UnreadableJson:
        return None
