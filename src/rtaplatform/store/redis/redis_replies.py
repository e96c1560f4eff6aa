"""Replies of the Lua functions and hashes, converted to the port's types.   Stage 4 of 6, pure."""

from __future__ import annotations

from typing import Any

import msgspec

from rtaplatform.core.projects import ProjectSettings
from rtaplatform.store import redis_keys
from rtaplatform.store.port import (
    Applied,
    Conflicted,
    Delta,
    Moved,
    Outcome,
    ShardState,
    Torn,
)


def read_outcome(reply: Any, delta: Delta) -> Outcome:
    match to_text(reply[0]):
        case "OK":
            return Applied()
        case "MOVED":
            texts = iter(reply[2:])
            rows = {redis_keys.read_place(to_text(p)): to_text(row) for p, row in zip(texts, texts, strict=True)}
            return Moved(to_text(reply[1]), rows)
        case "CONFLICT":
            return Conflicted(
                blocks=[delta.blocks[i].name for i in reply[1]],
                persons=[(delta.persons[i].project, delta.persons[i].person) for i in reply[2]],
                replayed=[delta.replayed[i] for i in reply[3]],
                projects=bool(reply[4]),
                loose=[delta.loose[i].name for i in reply[5]],
                orders=_read_orders(reply[6], delta),
            )
        case _:
            return Torn(to_text(reply[1]))


def _read_orders(flat: list[int], delta: Delta) -> dict[tuple[str, bytes], int]:
    """Set, place in it and stored time in turn."""
    parts = iter(flat)
    of = delta.orders
    return {(of[i].project, of[i].ids[j]): at for i, j, at in zip(parts, parts, parts, strict=True)}


def read_state(
    head: dict[bytes, bytes],
    manifest: dict[bytes, bytes],
    ledger: dict[bytes, bytes],
    projects: dict[bytes, bytes],
    torn: bool,
) -> ShardState:
    entries = {to_text(k): to_text(v) for k, v in manifest.items()}
    version = projects.get(b":version", b"")
    return ShardState(
        generation=to_text(head[b"generation"]),
        schema=to_text(head[b"schema"]),
        shards=int(head[b"shards"]),
        topics={k.removeprefix("topic:"): v for k, v in entries.items() if k.startswith("topic:")},
        starts={
            redis_keys.read_place(k.removeprefix("start:")): int(v)
            for k, v in entries.items()
            if k.startswith("start:")
        },
        ledger={redis_keys.read_place(to_text(k)): to_text(v) for k, v in ledger.items()},
        torn=torn,
        projects_version=to_text(version),
        projects={
            to_text(slug): msgspec.json.decode(value, type=ProjectSettings)
            for slug, value in projects.items()
            if slug != b":version"
        },
    )


def to_text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
