"""The receipt of an erasure: what was removed, what remains, where, and until when.   Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from rtaplatform.core.time.timestamps import format_iso_utc

SKETCH_MS = 402 * 86_400_000  # a day's bucket, and the slack of its expiry


class PersonToErase(Struct, frozen=True):
    """A person of a project, named by at least one id. If `user_id` is None, only by anonymous ids."""

    project: str
    project_id: str
    user_id: str | None
    anonymous_ids: tuple[str, ...] = ()


class ErasureInProgress(Struct, frozen=True):
    """An erasure whose tombstone is written: the input of the next steps, and the numbers for the receipt."""

    id: str
    project_id: str
    project: str
    user_id: str | None
    at_ms: int
    anonymous_ids: list[str]
    profile: int
    fields: int
    traits: int


# What an erasure stores about a profile until it is complete; here for a person without one.
NO_PROFILE: Mapping[str, Any] = {"profile": 0, "fields": 0, "traits": 0, "anonymous_ids": []}
LogRetention = Mapping[str, tuple[int, int]]  # topic → milliseconds and bytes per partition; -1: no limit


def make_receipt(erasure: ErasureInProgress, removals: Mapping[str, int], retention: LogRetention) -> dict[str, Any]:
    """`removals` is the answer of Redis. A receipt holds no anonymous id and no profile data, only their numbers."""
    return {
        "id": erasure.id,
        "project": erasure.project,
        "user_id": erasure.user_id,
        "erased_at": format_iso_utc(erasure.at_ms),
        "removed": {
            "profile": erasure.profile,
            "fields": erasure.fields,
            "traits": erasure.traits,
            "anonymous_ids": len(erasure.anonymous_ids),
            "redis_members": sum(removals.values()),
        },
        "remains": [
            *(_describe_topic(topic, *retention[topic], erasure.at_ms) for topic in sorted(retention)),
            *_list_other_places(erasure),
        ],
    }


def count_profile(row: Mapping[str, Any]) -> dict[str, Any]:
    """How much a row of `users` held."""
    return {
        "profile": 1,
        "fields": sum(row[name] is not None for name in ("email", "name")),
        "traits": len(row["traits"]),
    }


def read_erasure(
    project_id: str, slug: str, user_id: str | None, receipt: Mapping[str, Any], at_ms: Any
) -> ErasureInProgress:
    pending = {
        "profile": 1,
        **receipt["pending"],
    }  # an earlier version erased only persons with a profile, and stored no number of them
    return ErasureInProgress(
        id=receipt["id"],
        project_id=project_id,
        project=slug,
        user_id=user_id,
        at_ms=int(at_ms),
        anonymous_ids=pending["anonymous_ids"],
        profile=pending["profile"],
        fields=pending["fields"],
        traits=pending["traits"],
    )


def show_receipt(row: Any, project: str) -> dict[str, Any]:
    """A row of `erasures` as a list shows it. For an erasure in progress, nothing is known to be removed yet."""
    receipt: dict[str, Any] = row.receipt
    if "pending" not in receipt:
        return receipt
    at_ms = int(row.erased_at.timestamp() * 1000)
    return {
        "id": row.id,
        "project": project,
        "user_id": row.user_id,
        "erased_at": format_iso_utc(at_ms),
        "removed": None,
        "remains": [],
    }


def _describe_topic(topic: str, retention_ms: int, retention_bytes: int, at_ms: int) -> dict[str, Any]:
    content = (
        "this erasure's record, with the ids" if topic == "rta.control" else "the person's events, as they were sent"
    )
    limits = []
    if retention_ms >= 0:
        limits.append(f"{retention_ms // 1000} s after each record's time")
    if retention_bytes >= 0:
        limits.append(f"the oldest go when a partition has over {retention_bytes} bytes")
    until = format_iso_utc(at_ms + retention_ms) if retention_ms >= 0 and topic.startswith("rta.dead") else None
    return {
        "where": f"Kafka topic {topic}",
        "what": content,
        "until": until,
        "limit": "; ".join(limits) or "none is set",
    }


def _list_other_places(erasure: ErasureInProgress) -> list[dict[str, Any]]:
    sketches = "an estimate of how many persons there were, from which none can be read or taken out"
    return [
        _describe_place("Redis, sketches of persons", sketches, "", until=format_iso_utc(erasure.at_ms + SKETCH_MS)),
        _describe_place(
            "Redis, tombstones",
            "hashes of the ids, 8 bytes each, and of further anonymous ids that belong to the user",
            "as long as the totals exist",
        ),
        _describe_postgres(erasure),
        _describe_place(
            "backups and files of the servers",
            "the profile, in copies made before, and in PostgreSQL's pages and log until they are used again",
            "as the operator keeps them",
        ),
    ]


def _describe_postgres(erasure: ErasureInProgress) -> dict[str, Any]:
    limit = "as long as the project exists"
    if erasure.user_id is None:
        return _describe_place("PostgreSQL, receipt", "this receipt", limit)
    content = "the user's id, so that no event brings the profile back, and this receipt"
    return _describe_place("PostgreSQL, tombstone", content, limit)


def _describe_place(location: str, content: str, limit: str, *, until: str | None = None) -> dict[str, Any]:
    return {"where": location, "what": content, "until": until, "limit": limit}
