"""The traits of an identify event.   Pure; workers and profiles read them here, so that both see the same.

They are at the root, or in `context.traits`; those at the root override the others.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct


class TraitFields(Struct):
    """Where a record has traits."""

    traits: Raw = Raw()
    context: Raw = Raw()


class _ContextTraits(Struct):
    traits: Raw = Raw()


def read_traits(record: TraitFields) -> tuple[dict[str, Raw], int]:
    """The traits, and how many of the two places hold something that is no object."""
    context = bytes(record.context)
    of_context = msgspec.json.decode(context, type=_ContextTraits).traits if context.startswith(b"{") else Raw()
    traits: dict[str, Raw] = {}
    unreadable = 0
    for raw in (of_context, record.traits):
        text = bytes(raw)
        if text.startswith(b"{"):
            traits |= msgspec.json.decode(text, type=dict[str, Raw])
        elif text and text != b"null":
            unreadable += 1
    return traits, unreadable
