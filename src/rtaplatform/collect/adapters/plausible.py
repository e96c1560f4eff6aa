"""Plausible's `POST /api/event` → one of our events.   Pure.   Stage 1 of 6, in front of the steps.

The members have the short names of Plausible's script, or the long names of its API. A page view is a page call; any
other name is a track call of that name. `engagement` becomes `Page Engaged` where somebody has read for 10 seconds, as
our own tracker has it; a shorter one is not stored, since it would make two events of a visit that bounced.
"""

from __future__ import annotations

from typing import Any

from rtaplatform.collect.adapters.adapted_events import (
    ENGAGED_SECONDS_MIN,
    Members,
    make_page,
    read_members,
    read_members_of,
    read_number,
    read_text,
    write_event,
)

_LONG_NAMES = {"n": "name", "u": "url", "r": "referrer", "p": "props", "$": "revenue", "w": "screen_width"}


def adapt_plausible(raw: bytes, visitor: str) -> bytes | None:
    """The event of a body; None if it is not to be stored."""
    members = read_members(raw)
    if members is None:
        return raw
    fields = {short: members.get(short, members.get(long)) for short, long in _LONG_NAMES.items()}
    name, page = read_text(fields, "n"), _read_page({**fields, "h": members.get("h")})
    event: dict[str, Any] = {
        "anonymousId": visitor,
        "context": {"page": page, "screen": _read_screen(fields)},
    }
    if name == "pageview":
        return write_event({**event, "type": "page", "properties": _read_properties(fields)})
    if name == "engagement":
        seconds = (read_number(members, "e") or 0) / 1_000
        if seconds < ENGAGED_SECONDS_MIN:
            return None
        properties = {"seconds": int(seconds), "scroll_depth": members.get("sd")}
        return write_event({**event, "type": "track", "event": "Page Engaged", "properties": properties})
    return write_event(
        {
            **event,
            "type": "track",
            "event": fields["n"],
            "properties": _read_properties(fields),
        }
    )


def _read_page(members: Members) -> dict[str, Any]:
    page = make_page(read_text(members, "u"), read_text(members, "r"))
    if read_number(members, "h") == 1 and "#" in (page["url"] or ""):  # the part after the # is a page of its own
        page["path"] = f"{page.get('path', '/')}#{page['url'].partition('#')[2]}"
    return page


def _read_screen(members: Members) -> dict[str, Any]:
    return {"width": members["w"]} if read_number(members, "w") is not None else {}


def _read_properties(members: Members) -> dict[str, Any]:
    """The properties of the event, with its revenue under our names."""
    revenue = read_members_of(members, "$")
    return (
        {**read_members_of(members, "p"), "revenue": revenue.get("amount"), "currency": revenue.get("currency")}
        if revenue
        else dict(read_members_of(members, "p"))
    )
