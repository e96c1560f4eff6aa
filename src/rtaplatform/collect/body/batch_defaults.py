"""The defaults that a batch gives to its events: `context` and `integrations`, read and checked once.   Pure.

Defaults that cannot be read are ignored, so that a slip of the batch costs no event. Defaults over a limit would put
every event over it, so all events are refused without being merged.
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
    """Why every event of the batch is refused."""

    reason: Reason
    field: str
    detail: str


class BatchDefaults(Struct, frozen=True):
    """`context` as sent, `context_values` the same decoded. `excess`: the limit that they exceed."""

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
        context = read_json(bytes(raw))
        return (decode(context.text, _OBJECT), context.value) if isinstance(context.value, dict) else ({}, {})
    except UnreadableJson:
        return {}, {}


def _read_integrations(raw: Raw | bytes) -> Raw | None:
    if is_nothing(raw):
        return None
    try:
        return Raw(read_json(bytes(raw)).text)
    except UnreadableJson:
        return None
