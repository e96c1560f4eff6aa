"""The receipt of an erasure: what was removed, what remains, where, and until when.   Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from rtaplatform.core.times import iso_utc

SKETCH_MS = 402 * 86_400_000  # a day's bucket, and the slack of its expiry
ONLINE_MS = 15 * 60_000
EVENT_TOPICS_PREFIX = "rta.events."


class Begun(Struct, frozen=True):
    """An erasure whose tombstone stands: what the next steps need, and what the profile had."""

    id: str
    project_id: str
    project: str
    user_id: str
    at_ms: int
    anonymous_ids: list[str]
    fields: int
    traits: int


Kept = Mapping[str, tuple[int, int]]  # topic → milliseconds and bytes per partition; -1: no limit


def make_receipt(begun: Begun, removed: Mapping[str, int], kept: Kept) -> dict[str, Any]:
    """`removed` is what Redis has said. It holds no anonymous id and nothing of the profile, only numbers of them."""
    return {
        "id": begun.id,
        "project": begun.project,
        "user_id": begun.user_id,
        "erased_at": iso_utc(begun.at_ms),
        "removed": {
            "profile": 1,
            "fields": begun.fields,
            "traits": begun.traits,
            "anonymous_ids": len(begun.anonymous_ids),
            "redis_members": sum(removed.values()),
        },
        "remains": [*(_topic(topic, *kept[topic], begun.at_ms) for topic in sorted(kept)), *_elsewhere(begun.at_ms)],
    }


def _topic(topic: str, kept_ms: int, kept_bytes: int, at_ms: int) -> dict[str, Any]:
    what = "this erasure's record, with his ids" if topic == "rta.control" else "his events, as they were sent"
    limits = []
    if kept_ms >= 0:
        limits.append(f"{kept_ms // 1000} s after each record's time")
    if kept_bytes >= 0:
        limits.append(f"the oldest go when a partition has over {kept_bytes} bytes")
    until = iso_utc(at_ms + kept_ms) if kept_ms >= 0 and topic.startswith("rta.dead") else None
    return {"where": f"Kafka topic {topic}", "what": what, "until": until, "limit": "; ".join(limits) or "none is set"}


def _elsewhere(at_ms: int) -> list[dict[str, Any]]:
    sketches = "an estimate of how many persons there were, from which none can be read or taken out"
    return [
        {"where": "Redis, sketches of persons", "what": sketches, "until": iso_utc(at_ms + SKETCH_MS), "limit": ""},
        {
            "where": "Redis, who is online",
            "what": "8 bytes made of his id, only if more events of his are counted",
            "until": None,
            "limit": f"{ONLINE_MS // 60_000} min after each such event",
        },
        {
            "where": "PostgreSQL, tombstone",
            "what": "his id, so that no event brings the profile back, and this receipt",
            "until": None,
            "limit": "as long as the project exists",
        },
        {
            "where": "backups and files of the servers",
            "what": "the profile, in copies made before, and in PostgreSQL's pages and log until they are used again",
            "until": None,
            "limit": "as the operator keeps them",
        },
    ]
