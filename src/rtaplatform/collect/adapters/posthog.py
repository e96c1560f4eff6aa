"""PostHog's events → ours.   Pure.   Stage 1 of 6, in front of the steps.

PostHog has one id for a person, `distinct_id`. Its browser and app SDKs say beside it which device it is and whether
the person is known; only then is it a userId here. A server's `distinct_id` is a userId, unless the event says that it
makes no profile. Measurements of speed, recordings and heat maps are no acts of visitors, and are not stored.
"""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from rtaplatform.collect.adapters.adapted_events import (
    ENGAGED_SECONDS_MIN,
    Members,
    make_page,
    read_members,
    read_members_of,
    read_number,
    read_text,
    read_value,
    write_event,
)

NOT_STORED = frozenset(
    (
        "$snapshot", "$web_vitals", "$performance_event", "$$heatmap", "$heatmap", "$$client_ingestion_warning",
        "$feature_flag_called", "$opt_in",
    )
)  # fmt: skip
_NOT_OWN = frozenset(("distinct_id", "token", "timestamp"))  # of the properties


def adapt_posthog(raw: bytes) -> bytes | None:
    """The event; None if it is not to be stored."""
    members = read_members(raw)
    if members is None:
        return raw
    properties = read_members_of(members, "properties")
    name = read_text(members, "event")
    if name in NOT_STORED or (name == "$groupidentify" and _is_of_server(properties)):
        return None
    event: dict[str, Any] = {
        "messageId": members.get("uuid"),
        "timestamp": members.get("timestamp", properties.get("timestamp")),
        **_find_person(members, properties),
        "context": _read_context(properties),
    }
    extras = {key: value for key, value in properties.items() if not key.startswith("$") and key not in _NOT_OWN}
    call = _make_call(name, members, properties, extras)
    return None if call is None else write_event({**event, **call})


def _make_call(name: str | None, members: Members, properties: Members, extras: Members) -> dict[str, Any] | None:
    """The members of the call that an event of this name is; None if it is not to be stored."""
    traits = {**_read_set(members, properties, "$set_once"), **_read_set(members, properties, "$set")}
    match name:
        case "$pageview":
            return {"type": "page", "name": properties.get("title"), "properties": extras}
        case "$screen":
            return {"type": "screen", "name": properties.get("$screen_name"), "properties": extras}
        case "$identify" | "$set":
            return {"type": "identify", "traits": traits}
        case "$create_alias":
            alias = {"userId": properties.get("alias"), "anonymousId": None}
            return {"type": "alias", "previousId": _find_id(members, properties), **alias}
        case "$groupidentify":
            group = {"groupId": properties.get("$group_key"), "traits": read_members_of(properties, "$group_set")}
            return {"type": "group", **group}
        case "$pageleave":
            seconds = read_number(properties, "$prev_pageview_duration") or 0
            if seconds < ENGAGED_SECONDS_MIN:
                return None
            return {"type": "track", "event": "Page Engaged", "properties": {"seconds": int(seconds)}}
    return {"type": "track", "event": members.get("event"), "properties": extras}


def _read_set(members: Members, properties: Members, name: str) -> dict[str, Raw]:
    return {**read_members_of(properties, name), **read_members_of(members, name)}


def _find_id(members: Members, properties: Members) -> Any:
    return members.get("distinct_id", properties.get("distinct_id"))


def _find_person(members: Members, properties: Members) -> dict[str, Any]:
    distinct, device = _find_id(members, properties), properties.get("$device_id")
    if read_value(properties, "$device_id") is None:
        device = None
    if read_text(members, "event") == "$identify":
        before = properties.get("$anon_distinct_id", device)
        return {"userId": distinct, "anonymousId": before}
    if read_value(properties, "$user_id") is not None:
        return {"userId": properties["$user_id"], "anonymousId": device}
    if "$is_identified" in properties:
        is_known = read_value(properties, "$is_identified") is True
        return {"userId": distinct, "anonymousId": device} if is_known else {"anonymousId": distinct}
    if device is not None:
        return {"userId": distinct if distinct != device else None, "anonymousId": device}
    if read_value(properties, "$process_person_profile") is False:
        return {"anonymousId": distinct}
    return {"userId": distinct}


def _is_of_server(properties: Members) -> bool:
    """Whether a server sent it: its SDKs make up an id for the properties of a group, which names no person."""
    return "$device_id" not in properties


def _read_context(properties: Members) -> dict[str, Any]:
    referrer = read_text(properties, "$referrer")
    address = read_text(properties, "$current_url")
    page = make_page(address, None if referrer == "$direct" else referrer, read_text(properties, "title"))
    system, kind = read_text(properties, "$os"), read_text(properties, "$device_type")
    is_of_visitor = not _is_server_library(properties)
    return {
        "page": page,
        "library": {"name": properties.get("$lib"), "version": properties.get("$lib_version")},
        # A server tells of its own system, not of the visitor's.
        "os": {"name": system} if is_of_visitor else {},
        "device": {"type": kind.lower() if kind is not None else None},
        "screen": {"width": properties.get("$screen_width"), "height": properties.get("$screen_height")},
        "userAgent": read_text(properties, "$raw_user_agent"),
        "timezone": read_text(properties, "$timezone"),
        "locale": read_text(properties, "$locale") or read_text(properties, "$browser_language"),
        "ip": read_text(properties, "$ip"),
    }


def _is_server_library(properties: Members) -> bool:
    return "$is_server" in properties or "$device_type" not in properties
