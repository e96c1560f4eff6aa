"""The receipt of an erasure: what was removed, what remains, where, and until when.   Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from rtaplatform.core.time.timestamps import iso_utc

SKETCH_MS = 402 * 86_400_000  # a day's bucket, and the slack of its expiry
ONLINE_MS = 15 * 60_000
EVENT_TOPICS_PREFIX = "rta.events."


class WhoToErase(Struct, frozen=True):
    """A person of a project, by one id at least. `user_id` None: by anonymous ids alone."""

    project: str
    project_id: str
    user_id: str | None
    anonymous_ids: tuple[str, ...] = ()


class ErasureInProgress(Struct, frozen=True):
    """An erasure whose tombstone stands: what the next steps need, and what the profile had."""

    id: str
    project_id: str
    project: str
    user_id: str | None
    at_ms: int
    anonymous_ids: list[str]
    profile: int
    fields: int
    traits: int


# What an erasure has to remember of a profile until it is complete.
NOTHING_KEPT: Mapping[str, Any] = {"profile": 0, "fields": 0, "traits": 0, "anonymous_ids": []}
Kept = Mapping[str, tuple[int, int]]  # topic → milliseconds and bytes per partition; -1: no limit


def make_receipt(begun: ErasureInProgress, removed: Mapping[str, int], kept: Kept) -> dict[str, Any]:
    """`removed` is what Redis has said. It holds no anonymous id and nothing of the profile, only numbers of them."""
    return {
        "id": begun.id,
        "project": begun.project,
        "user_id": begun.user_id,
        "erased_at": iso_utc(begun.at_ms),
        "removed": {
            "profile": begun.profile,
            "fields": begun.fields,
            "traits": begun.traits,
            "anonymous_ids": len(begun.anonymous_ids),
            "redis_members": sum(removed.values()),
        },
        "remains": [*(_topic(topic, *kept[topic], begun.at_ms) for topic in sorted(kept)), *_elsewhere(begun)],
    }


def profile_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers of what a row of `users` held."""
    return {
        "profile": 1,
        "fields": sum(row[name] is not None for name in ("email", "name")),
        "traits": len(row["traits"]),
    }


def begun_of(
    project_id: str, slug: str, user_id: str | None, receipt: Mapping[str, Any], at_ms: Any
) -> ErasureInProgress:
    pending = {"profile": 1, **receipt["pending"]}  # in those of an earlier version there was one
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
    """A row of `erasures` in a list. What is under way has removed nothing yet that could be told."""
    receipt: dict[str, Any] = row.receipt
    if "pending" not in receipt:
        return receipt
    at_ms = int(row.erased_at.timestamp() * 1000)
    return {
        "id": row.id,
        "project": project,
        "user_id": row.user_id,
        "erased_at": iso_utc(at_ms),
        "removed": None,
        "remains": [],
    }


def _topic(topic: str, kept_ms: int, kept_bytes: int, at_ms: int) -> dict[str, Any]:
    what = "this erasure's record, with the ids" if topic == "rta.control" else "the person's events, as they were sent"
    limits = []
    if kept_ms >= 0:
        limits.append(f"{kept_ms // 1000} s after each record's time")
    if kept_bytes >= 0:
        limits.append(f"the oldest go when a partition has over {kept_bytes} bytes")
    until = iso_utc(at_ms + kept_ms) if kept_ms >= 0 and topic.startswith("rta.dead") else None
    return {"where": f"Kafka topic {topic}", "what": what, "until": until, "limit": "; ".join(limits) or "none is set"}


def _elsewhere(begun: ErasureInProgress) -> list[dict[str, Any]]:
    sketches = "an estimate of how many persons there were, from which none can be read or taken out"
    return [
        _place("Redis, sketches of persons", sketches, "", until=iso_utc(begun.at_ms + SKETCH_MS)),
        _place(
            "Redis, who is online",
            "8 bytes made of an id, only if more events of this person are counted",
            f"{ONLINE_MS // 60_000} min after each such event",
        ),
        _kept_in_postgres(begun),
        _place(
            "backups and files of the servers",
            "the profile, in copies made before, and in PostgreSQL's pages and log until they are used again",
            "as the operator keeps them",
        ),
    ]


def _kept_in_postgres(begun: ErasureInProgress) -> dict[str, Any]:
    limit = "as long as the project exists"
    if begun.user_id is None:
        return _place("PostgreSQL, receipt", "this receipt", limit)
    what = "the user's id, so that no event brings the profile back, and this receipt"
    return _place("PostgreSQL, tombstone", what, limit)


def _place(where: str, what: str, limit: str, *, until: str | None = None) -> dict[str, Any]:
    return {"where": where, "what": what, "until": until, "limit": limit}
