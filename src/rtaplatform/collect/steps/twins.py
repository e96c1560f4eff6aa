"""Events of one request with the same context get the same enrichment, so it is done once for them.   Pure.

What the enriching steps find depends on the request, on the context, and on four texts beside it. Events in which all
of these are the same are twins: the first goes through the steps, the others take what it got. A context that a step
had to open is not shared, because a later step may change it: its twins go through the steps themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Raw, Struct

from rtaplatform.collect.body.draft import Draft

_NOTHING = (None, None, None, None)


class Twin(Struct):
    """A draft, the first one like it, and how many marks that had before its enrichment."""

    draft: Draft
    first: Draft
    marks_before: int


def find_twins(drafts: Iterable[Draft]) -> tuple[list[Draft], list[Twin]]:
    """Split drafts into those to enrich and those that are like one of them."""
    firsts, twins = list[Draft](), list[Twin]()
    first_of: dict[tuple[Any, ...], tuple[Draft, int]] = {}
    for draft in drafts:
        circumstances = _find_circumstances(draft)
        if circumstances is not None and (like := first_of.get(circumstances)) is not None:
            twins.append(Twin(draft, *like))
            continue
        firsts.append(draft)
        if circumstances is not None:
            first_of[circumstances] = draft, len(draft.marks)
    return firsts, twins


def copy_enrichment(twins: Sequence[Twin]) -> list[Draft]:
    """Give each twin what its first one got. Return those that have to go through the steps themselves."""
    others = list[Draft]()
    for twin in twins:
        draft, first = twin.draft, twin.first
        context = first.fields["context"]
        if not isinstance(context, Raw):
            others.append(draft)
            continue
        draft.source = draft.fields["source"] = first.source
        draft.fields["context"] = context
        if len(first.marks) > twin.marks_before:
            draft.marks = [*draft.marks, *first.marks[twin.marks_before :]]
    return others


def _find_circumstances(draft: Draft) -> tuple[Any, ...] | None:
    """All that the enriching steps look at; None if the context is absent, or no longer as it was sent."""
    values, context = draft.values, draft.fields.get("context")
    if not isinstance(context, Raw) or not values.get("context"):
        return None
    url = referrer = None
    if properties := values.get("properties"):
        url, referrer = properties.get("url"), properties.get("referrer")
    texts: tuple[Any, ...] = (values.get("source"), values.get("channel"), url, referrer)
    if texts != _NOTHING:  # the steps read values of other types as nothing
        texts = tuple(text if isinstance(text, str) else None for text in texts)
    return id(draft.request), bytes(context), texts
