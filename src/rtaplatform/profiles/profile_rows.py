"""The one transaction that folds a batch of identify events into `users`.

One statement locks all rows in the order of their ids; it inserts the missing rows first. So two processes never
deadlock, and no row is read that another process is about to change. An erasure takes the lock of its project
exclusively, so no event is written beside it. There are five statements, however many events there are.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.engine import Connection

from rtaplatform.profiles.traits import IdentifyTraits, fold, from_row, to_row

ERASING = "hashtextextended('rta:erasing:' || {project}, 0)"


class ProfileKey(NamedTuple):
    """A user, by the project's slug."""

    project: str
    user_id: str


UserKey = tuple[str, str]  # project id, user id

_PROJECTS = text("SELECT slug, id FROM projects WHERE slug = ANY(CAST(:slugs AS text[]))")
_SHARE = text(
    f"SELECT pg_advisory_xact_lock_shared({ERASING.format(project='p')}) FROM unnest(CAST(:projects AS text[])) AS p"  # noqa: S608  # a constant
)
_ERASED = text(
    """
    SELECT e.project_id, e.user_id, CAST(extract(epoch FROM u.created_at) * 1000 AS bigint)
    FROM unnest(CAST(:projects AS text[]), CAST(:ids AS text[])) AS t (project_id, user_id)
    JOIN erasures e ON e.project_id = t.project_id AND e.user_id = t.user_id
    LEFT JOIN users u ON u.project_id = e.project_id AND u.id = e.user_id
    """
)
# Locks the rows that exist without changing them, and inserts the others.
_LOCK = text(
    """
    INSERT INTO users (project_id, id)
    SELECT t.project_id, t.id
    FROM unnest(CAST(:projects AS text[]), CAST(:ids AS text[])) WITH ORDINALITY AS t (project_id, id, place)
    ORDER BY t.place
    ON CONFLICT (project_id, id) DO UPDATE SET id = excluded.id WHERE false
    """
)
_READ = text(
    """
    SELECT u.project_id, u.id, u.email, u.name, u.traits, u.anonymous_ids, u.field_times,
        CAST(extract(epoch FROM u.first_seen) * 1000 AS bigint) AS first_seen,
        CAST(extract(epoch FROM u.last_seen) * 1000 AS bigint) AS last_seen
    FROM unnest(CAST(:projects AS text[]), CAST(:ids AS text[])) AS t (project_id, id)
    JOIN users u ON u.project_id = t.project_id AND u.id = t.id
    """
)
_WRITE = text(
    """
    UPDATE users u SET email = n.email, name = n.name, traits = n.traits, anonymous_ids = n.anonymous_ids,
        field_times = n.field_times, first_seen = to_timestamp(n.first_seen / 1000.0),
        last_seen = to_timestamp(n.last_seen / 1000.0)
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS n (project_id text, id text, email text, name text, traits jsonb,
        anonymous_ids text[], field_times jsonb, first_seen bigint, last_seen bigint)
    WHERE u.project_id = n.project_id AND u.id = n.id
    """
)


def write_batch(connection: Connection, batch: Mapping[ProfileKey, Sequence[IdentifyTraits]]) -> Counter[str]:
    """Write the batch. Returns the number of events by outcome: applied, unchanged, erased, unknown_project."""
    slugs = sorted({user.project for user in batch if "\x00" not in user.project})
    projects = {row.slug: row.id for row in connection.execute(_PROJECTS, {"slugs": slugs})}
    connection.execute(_SHARE, {"projects": sorted(projects.values())})
    events_by_key = {(projects[p.project], p.user_id): list(e) for p, e in batch.items() if p.project in projects}
    outcomes = Counter({"unknown_project": _count_events(batch) - _count_events(events_by_key)})
    events_to_write = _without_erased(connection, events_by_key)
    outcomes["erased"] = _count_events(events_by_key) - _count_events(events_to_write)
    keys = sorted(events_to_write)
    connection.execute(_LOCK, _make_columns(keys))
    changed_rows = []
    for row in map(dict, connection.execute(_READ, _make_columns(keys)).mappings()):
        events = events_to_write[row["project_id"], row["id"]]
        columns = to_row(fold(from_row(row), events))
        is_changed = any(columns[name] != row[name] for name in columns)
        outcomes["applied" if is_changed else "unchanged"] += len(events)
        if is_changed:
            changed_rows.append({"project_id": row["project_id"], "id": row["id"], **columns})
    if changed_rows:
        connection.execute(_WRITE, {"rows": json.dumps(changed_rows, ensure_ascii=False)})
    return +outcomes


def _without_erased(
    connection: Connection, batch: Mapping[UserKey, list[IdentifyTraits]]
) -> dict[UserKey, list[IdentifyTraits]]:
    """The batch without the events of erased users. Events after such a user was created again remain."""
    events_left = dict(batch)
    for project_id, user_id, created_ms in connection.execute(_ERASED, _make_columns(sorted(batch))):
        events = events_left.pop((project_id, user_id))
        later_events = [
            e for e in events if created_ms is not None and min(e.stamp.time_ms, e.record_timestamp_ms) > created_ms
        ]
        if later_events:
            events_left[project_id, user_id] = later_events
    return events_left


def _make_columns(keys: Sequence[UserKey]) -> dict[str, Any]:
    return {"projects": [project for project, _ in keys], "ids": [id for _, id in keys]}


def _count_events(batch: Mapping[Any, Sequence[IdentifyTraits]]) -> int:
    return sum(map(len, batch.values()))
