"""Umami's `POST /api/send` → one of our events.   Pure.   Stage 1 of 6, in front of the steps.

A payload with a name is a track call of that name, one without is a page call. `identify` becomes an identify call;
its `id`, if the site gives one, is the userId. Umami's measurements of speed are not stored. The write key stands
where Umami has the id of the website.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from rtaplatform.collect.adapters.adapted_events import (
    Members,
    make_page,
    read_members,
    read_members_of,
    read_screen,
    read_text,
    write_event,
)


def find_umami_keys(body: bytes) -> list[str]:
    """The write key: the website of the payload."""
    key = read_text(read_members_of(read_members(body) or {}, "payload"), "website")
    return [key] if key is not None else []


def find_umami_client(body: bytes) -> tuple[str | None, str | None]:
    """The address and the user agent of a visitor whom a server reports; None where it says nothing."""
    payload = read_members_of(read_members(body) or {}, "payload")
    return read_text(payload, "ip"), read_text(payload, "userAgent")


def adapt_umami(raw: bytes, visitor: str) -> bytes | None:
    """The event of a body; None if it is not to be stored."""
    members = read_members(raw)
    if members is None:
        return raw
    payload, kind = read_members_of(members, "payload"), read_text(members, "type") or "event"
    event: dict[str, Any] = {
        "anonymousId": visitor,
        "userId": payload.get("id"),
        "timestamp": payload.get("timestamp"),
        "context": _read_context(payload),
    }
    data = read_members_of(payload, "data")
    if kind == "identify":
        return write_event({**event, "type": "identify", "traits": data})
    if kind != "event":
        return None if kind == "performance" else write_event({**event, "type": members["type"]})
    properties = {**data, "tag": payload["tag"]} if "tag" in payload else data
    if read_text(payload, "name") is None:
        return write_event({**event, "type": "page", "properties": properties})
    return write_event({**event, "type": "track", "event": payload["name"], "properties": properties})


def _read_context(payload: Members) -> dict[str, Any]:
    page = make_page(_find_address(payload), _find_referrer(payload), read_text(payload, "title"))
    # A server that reports its visitors names their address and browser in the payload.
    return {
        "page": page, "screen": read_screen(read_text(payload, "screen")), "locale": read_text(payload, "language"),
        "ip": read_text(payload, "ip"), "userAgent": read_text(payload, "userAgent"),
    }  # fmt: skip


def _find_address(payload: Members) -> str | None:
    """The full address of the page. Some versions of the script send its path and its host apart."""
    address, host = read_text(payload, "url"), read_text(payload, "hostname")
    if address is not None and address.startswith("/") and host is not None:
        return f"https://{host}{address}"
    return address


def _find_referrer(payload: Members) -> str | None:
    """The page before, if it is one of another place: a bare path is a page of the same site."""
    referrer = read_text(payload, "referrer")
    try:
        return referrer if referrer is not None and urlsplit(referrer).scheme else None
    except ValueError:
        return None
