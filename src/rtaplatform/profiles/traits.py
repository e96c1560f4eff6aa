"""What identify events say of a person, folded into his profile.   Pure: no clock, no IO.

A profile is a map of fields (`email`, `name`, `traits.<key>`, `anonymous_ids.<id>`), and every field has a stamp, the
place of its last writer: (event time, position). The greater stamp wins, so the row is a function of the set of events:
neither order nor repeats change it. Beyond its limits a profile keeps the fields with the greatest stamps, which no
order changes either. Edits through the API take part, with the server's time and a position after all events'.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from msgspec import Struct

TRAITS_MAX = 256  # of a profile, removed ones that are remembered included
ANONYMOUS_IDS_MAX = 100
LAST_POSITION = "~"  # sorts after every topic


class FieldStamp(NamedTuple):
    """Who has written a field last: the event's time, and where the event stands."""

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
    """A user's row, as far as events change it. Fields without a stamp were there before stamps were kept."""

    fields: dict[str, Any] = {}
    stamps: dict[str, FieldStamp] = {}
    first_seen_ms: int | None = None
    last_seen_ms: int | None = None


def fold(profile: UserProfile, events: Iterable[IdentifyTraits]) -> UserProfile:
    """The profile after these events, whatever their order; an equal profile where nothing changes."""
    fields, stamps = dict(profile.fields), dict(profile.stamps)
    first, last = profile.first_seen_ms, profile.last_seen_ms
    for event in events:
        at = event.stamp.time_ms
        first = at if first is None else min(first, at)
        last = at if last is None else max(last, at)
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


def stamp(fields: Mapping[str, Any], at_ms: int) -> dict[str, list[Any]]:
    """What an edit through the API adds to `users.field_times` (`field_times || …`).

    `fields` are the fields that it changes: `email`, `name`; `traits`, an object with only the keys that change,
    removed ones as None; `anonymous_ids`, those that were added or removed. Events up to `at_ms` no longer change them.
    """
    names = [name for name in ("email", "name") if name in fields]
    names += [f"traits.{key}" for key in fields.get("traits") or ()]
    names += [f"anonymous_ids.{one}" for one in fields.get("anonymous_ids") or ()]
    return {name: [at_ms, LAST_POSITION] for name in names}


def stamp_changes(before: Mapping[str, Any] | None, after: Mapping[str, Any], at_ms: int) -> dict[str, list[Any]]:
    """`stamp` for an edit that leads from one row to another (None: there was none). Rows hold columns of `users`."""
    old, new = _flat(before or {}), _flat(after)
    changed = [name for name in (*old, *new) if old.get(name) != new.get(name)]
    return {name: [at_ms, LAST_POSITION] for name in dict.fromkeys(changed)}


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    fields = {name: row.get(name) for name in ("email", "name") if row.get(name) is not None}
    fields |= {f"traits.{key}": value for key, value in (row.get("traits") or {}).items()}
    return fields | {f"anonymous_ids.{one}": True for one in row.get("anonymous_ids") or ()}


# rows ----------------------------------------------------------------------------------------------------------------


def from_row(row: Mapping[str, Any]) -> UserProfile:
    """`row` has the columns of `users`, times as ms."""
    stamps = {name: FieldStamp(*found) for name, found in row["field_times"].items()}
    return UserProfile(_flat(row), stamps, row["first_seen"], row["last_seen"])


def to_row(profile: UserProfile) -> dict[str, Any]:
    """The columns that events change; the anonymous ids newest first."""
    ids = [name for name in profile.fields if name.startswith("anonymous_ids.")]
    ids.sort(key=lambda name: (profile.stamps.get(name, BEFORE_ALL), name), reverse=True)
    return {
        "email": profile.fields.get("email"),
        "name": profile.fields.get("name"),
        "traits": _below("traits.", profile.fields),
        "anonymous_ids": [name.removeprefix("anonymous_ids.") for name in ids],
        "field_times": {name: list(found) for name, found in sorted(profile.stamps.items())},
        "first_seen": profile.first_seen_ms,
        "last_seen": profile.last_seen_ms,
    }


def _below(prefix: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in fields.items() if name.startswith(prefix)}
