"""One generation in memory, and the answers to reads of it.   Stage 4 of 6."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

import xxhash

from rtaplatform.core.ledger import PartitionId
from rtaplatform.core.rollups import SHORT_PREFIX
from rtaplatform.core.sketches.hyperloglog import PERSON_BYTES, hyperloglog
from rtaplatform.core.time.buckets import BucketKind
from rtaplatform.store.port import (
    BucketContent,
    CellsKey,
    Read,
    ReadBucketLog,
    ReadBuckets,
    ReadFields,
    ReadOnline,
    ReadPersonCounts,
    ReadPersons,
    ReadPersonSketches,
    ReadPersonValues,
    SketchKey,
)


class MemoryTotals:
    """The totals of one generation, and its ledger: the positions that they include."""

    def __init__(self) -> None:
        self.ledger: dict[PartitionId, str] = {}
        self.control: dict[PartitionId, int] = {}  # while it is being built: next offsets of rta.control
        self.inflight = ""
        self.cells: dict[CellsKey, dict[str, int]] = {}
        self.logs: dict[CellsKey, list[tuple[int, list[bytes]]]] = {}  # positions and changes of large buckets
        self.sketches: dict[SketchKey, set[bytes]] = {}
        self.online: dict[str, dict[bytes, int]] = {}
        self.blocks: dict[str, bytes] = {}
        self.loose: dict[str, dict[bytes, int]] = {}  # set → id → stream time of its write
        self.orders: dict[str, dict[bytes, int]] = {}  # project → order id → stream time at which it was counted
        self.persons: dict[tuple[str, bytes], bytes] = {}
        self.dead: dict[str, int] = {}
        self.counts: dict[str, int] = {}


def answer_read(totals: MemoryTotals, project: str, read: Read) -> Any:
    match read:
        case ReadFields(rollup, kind, starts, fields):
            buckets = [totals.cells.get(CellsKey(project, rollup, kind, start), {}) for start in starts]
            return [dict(b) if fields is None else _select_fields(b, fields) for b in buckets]
        case ReadBuckets(rollup, kind, starts):
            buckets = [totals.cells.get(CellsKey(project, rollup, kind, start), {}) for start in starts]
            logs = [totals.logs.get(CellsKey(project, rollup, kind, start), []) for start in starts]
            return [BucketContent(flatten(b), _make_token(log)) for b, log in zip(buckets, logs, strict=True)]
        case ReadBucketLog(rollup, kind, start, since):
            return _read_changes(totals.logs.get(CellsKey(project, rollup, kind, start), []), since)
        case ReadPersons():
            return len(_unite_sketches(totals, project, read))
        case ReadPersonValues(buckets, dimension):
            prefixes = {(project, kind, start, dimension) for kind, start in buckets}
            return sorted({key.value for key in totals.sketches if key[:4] in prefixes})
        case ReadPersonCounts(dimension, kind, starts):
            return [
                BucketContent(flatten(_count_persons(totals, (project, kind, start, dimension)))) for start in starts
            ]
        case ReadPersonSketches(dimension, kind, starts):
            return [BucketContent(_read_sketches(totals, (project, kind, start, dimension))) for start in starts]
        case ReadOnline(since_ms, until_ms):
            last_ms = inf if until_ms is None else until_ms
            return sum(since_ms <= seen_ms <= last_ms for seen_ms in totals.online.get(project, {}).values())


def _select_fields(bucket: Mapping[str, int], fields: Sequence[str]) -> dict[str, int]:
    """Return these fields, and the marks of those that are incomplete."""
    marks = [SHORT_PREFIX + name for name in fields] if SHORT_PREFIX in bucket else []
    return {name: bucket[name] for name in (*fields, *marks) if name in bucket}


def flatten(fields: Mapping[str, int]) -> list[bytes]:
    return [text for name, n in fields.items() for text in (name.encode(), b"%d" % n)]


def _count_persons(totals: MemoryTotals, bucket: tuple[str, BucketKind, int, str]) -> dict[str, int]:
    return {key.value: len(persons) for key, persons in totals.sketches.items() if key[:4] == bucket}


def _read_sketches(totals: MemoryTotals, bucket: tuple[str, BucketKind, int, str]) -> list[bytes]:
    members = [(key.value, persons) for key, persons in totals.sketches.items() if key[:4] == bucket]
    return [text for value, persons in members for text in (value.encode(), hyperloglog(map(_pad_to_eight, persons)))]


def _pad_to_eight(person: bytes) -> bytes:
    """Return the person as workers send it. Tests use names of any length."""
    return person if len(person) == PERSON_BYTES else xxhash.xxh3_64_digest(person)


def _make_token(log: Sequence[tuple[int, list[bytes]]]) -> str:
    return str(log[-1][0]) if log else ""


def _read_changes(log: Sequence[tuple[int, list[bytes]]], since: str) -> BucketContent | None:
    positions = [str(position) for position, _ in log]
    if since not in positions:
        return None
    newer = log[positions.index(since) + 1 :]
    return BucketContent([item for _, changes in newer for item in changes], _make_token(log))


def _unite_sketches(totals: MemoryTotals, project: str, read: ReadPersons) -> set[bytes]:
    keys = [SketchKey(project, *bucket, read.dimension, value) for bucket in read.buckets for value in read.values]
    return set().union(*(totals.sketches.get(key, set()) for key in keys))
