"""Fold identify events into a user's profile.   Pure: no clock, no IO.

A profile is a map of fields (`email`, `name`, `traits.<key>`, `anonymous_ids.<id>`). Every field has the stamp of its
last writer: (event time, position in the log). The greater stamp wins, so the row is a function of the set of events:
neither their order nor repeats change it. A profile above its limits keeps the fields with the greatest stamps, which
does not depend on the order either. An edit through the API has a stamp too (migration 0004): the server's time, and a
position that sorts after every event.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from msgspec import Struct

TRAITS_MAX = 256  # of a profile, including the removed traits whose stamps are kept
ANONYMOUS_IDS_MAX = 100


class FieldStamp(NamedTuple):
    """The last writer of a field: the event's time, and its position in the log."""

    time_ms: int
    position: str


BEFORE_ALL = FieldStamp(-1, "")


class IdentifyTraits(Struct, frozen=True):
    """An identify event of a known user. A field that is None is removed."""

    project: str
    user_id: str
    stamp: FieldStamp
    record_timestamp_ms: int
    fields: dict[str, Any]
    left_out: dict[str, int] = {}  # traits, by reason


class UserProfile(Struct, frozen=True):
    """The part of a user's row that events change. A field without a stamp is older than the stamps."""

    fields: dict[str, Any] = {}
    stamps: dict[str, FieldStamp] = {}
    first_seen_ms: int | None = None
    last_seen_ms: int | None = None


def fold(profile: UserProfile, events: Iterable[IdentifyTraits]) -> UserProfile:
    """The profile after these events, in whatever order. It is equal to the one before if nothing changes."""
    fields, stamps = dict(profile.fields), dict(profile.stamps)
    first, last = profile.first_seen_ms, profile.last_seen_ms
    for event in events:
        time_ms = event.stamp.time_ms
        first = time_ms if first is None else min(first, time_ms)
        last = time_ms if last is None else max(last, time_ms)
        for name, value in event.fields.items():
            if event.stamp > stamps.get(name, BEFORE_ALL):
                stamps[name] = event.stamp
                fields[name] = value
    _keep_newest(fields, stamps, "traits.", TRAITS_MAX)
    _keep_newest(fields, stamps, "anonymous_ids.", ANONYMOUS_IDS_MAX)
    return UserProfile({name: value for name, value in fields.items() if value is not None}, stamps, first, last)


def _keep_newest(fields: dict[str, Any], stamps: dict[str, FieldStamp], prefix: str, limit: int) -> None:
    names = {name for name in (*fields, *stamps) if name.startswith(prefix)}
    if len(names) <= limit:
        return
    for name in sorted(names, key=lambda name: (stamps.get(name, BEFORE_ALL), name))[:-limit]:
        fields.pop(name, None)
        stamps.pop(name, None)


def _flatten_row(row: Mapping[str, Any]) -> dict[str, Any]:
    fields = {name: row.get(name) for name in ("email", "name") if row.get(name) is not None}
    fields |= {f"traits.{key}": value for key, value in (row.get("traits") or {}).items()}
    return fields | {f"anonymous_ids.{id}": True for id in row.get("anonymous_ids") or ()}


# rows ----------------------------------------------------------------------------------------------------------------


def from_row(row: Mapping[str, Any]) -> UserProfile:
    """`row` has the columns of `users`, with times in ms."""
    stamps = {name: FieldStamp(*stamp) for name, stamp in row["field_times"].items()}
    return UserProfile(_flatten_row(row), stamps, row["first_seen"], row["last_seen"])


def to_row(profile: UserProfile) -> dict[str, Any]:
    """The columns that events change. The newest anonymous id comes first."""
    ids = [name for name in profile.fields if name.startswith("anonymous_ids.")]
    ids.sort(key=lambda name: (profile.stamps.get(name, BEFORE_ALL), name), reverse=True)
    return {
        "email": profile.fields.get("email"),
        "name": profile.fields.get("name"),
        "traits": _select_below("traits.", profile.fields),
        "anonymous_ids": [name.removeprefix("anonymous_ids.") for name in ids],
        "field_times": {name: list(stamp) for name, stamp in sorted(profile.stamps.items())},
        "first_seen": profile.first_seen_ms,
        "last_seen": profile.last_seen_ms,
    }


def _select_below(prefix: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in fields.items() if name.startswith(prefix)}
