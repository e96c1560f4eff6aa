"""A delta as the payload of `rta_apply_v4`.   Stage 4 of 6.   Pure; redis/functions/rta_v1.lua is its reader."""

from __future__ import annotations

import secrets
import struct
from collections.abc import Callable, Collection, Mapping
from itertools import chain
from typing import Any

import msgspec
from msgspec import Struct

from rtaplatform.core.caps import ANCHORS, BOUNDED, CAPS, Caps
from rtaplatform.core.rollups import PERSONS, PRODUCTS
from rtaplatform.core.time.buckets import RETENTION_MS, BucketKind, expires_at_s, sketch_retention_ms
from rtaplatform.store import redis_keys
from rtaplatform.store.port import PERSONS_LISTED_MAX, CellsKey, Delta, SketchKey

EXACT_IN_LUA = 2**53  # Lua's numbers are doubles
INCREMENT_MAX = 2**62  # more at once is refused
ONLINE_KEPT_MS = 15 * 60_000
_encode = msgspec.msgpack.Encoder().encode
_ENTRY = struct.Struct(">BQB8s")  # MessagePack's uint 64 and a text of 8 bytes


class Retention(Struct, frozen=True):
    """How long buckets are kept, and how many values one may have. A benchmark with old events has others."""

    expires_at_s: Callable[[BucketKind, int], int] = expires_at_s
    caps: Caps = CAPS


KEEPING = Retention()
# By rollup: the anchor of its values, and of each dimension which of its values are bounded.
RULES = {
    name: [ANCHORS[name], [each if isinstance(each, bool) else sorted(each) for each in bounded]]
    for name, bounded in BOUNDED.items()
}


def encode(generation: str, delta: Delta, keeping: Retention = KEEPING) -> bytes:
    return _encode(
        {
            "generation": generation,
            "call": secrets.token_hex(8),
            "projects_version": False if delta.projects_version is None else delta.projects_version,
            "moves": [[redis_keys.place(m.place), m.after, m.upto] for m in delta.moves],
            "blocks": [
                [
                    b.name, _raw(b.expected), _raw(b.token), _raw(b.last_write_ms.to_bytes(8, "big")), _raw(b.ids),
                    b.last_write_ms, redis_keys.dedup_partition_of(b.name), b.replace,
                ]
                for b in delta.blocks
            ],
            "loose": [
                [w.name, redis_keys.dedup_partition_of(w.name), _eights(w.ids), w.expected_ms, w.written_ms]
                for w in delta.loose
            ],
            "persons": [
                [p.project, _raw(p.person), _raw(p.expected), _raw(p.token), _raw(p.value)] for p in delta.persons
            ],
            "replayed": delta.replayed,
            "cells": [_cells(key, fields, keeping) for key, fields in delta.cells.items()],
            "sketches": _sketches(delta.sketches, keeping),
            "sketch_bytes": keeping.caps.sketch_bytes,
            "rules": {name: RULES[name] for name in {key.rollup for key in delta.cells} & RULES.keys()},
            "online": [_online(project, seen) for project, seen in delta.online.items()],
            "dead": [item for origin, at in delta.dead.items() for item in (at, origin)],
            "dead_before": delta.dead_before_ms,
            "counts": _flat(delta.counts),
            "expired": [item for pair in delta.expired_blocks.items() for item in pair],
            "projects": sorted({key.project for key in delta.cells}),
        }
    )  # fmt: skip


def _raw(value: bytes) -> msgspec.Raw:
    """Bytes as MessagePack's str, the only kind of text that Redis's decoder knows."""
    size = len(value)
    if size < 32:
        return msgspec.Raw(bytes((0xA0 | size,)) + value)
    return msgspec.Raw(b"\xdb" + size.to_bytes(4, "big") + value)


def _flat(fields: dict[str, int]) -> list[Any]:
    values = fields.values()
    if values and 0 not in values and max(values) <= EXACT_IN_LUA and min(values) >= -EXACT_IN_LUA:
        return list(chain.from_iterable(fields.items()))
    flat: list[Any] = []
    for name, n in fields.items():
        if n:
            for part in (n,) if -INCREMENT_MAX <= n <= INCREMENT_MAX else _parts(n):
                flat += (name, part if -EXACT_IN_LUA <= part <= EXACT_IN_LUA else str(part))
    return flat


def _parts(n: int) -> list[int]:
    """A sum of many large amounts, in increments that the function takes; four of the largest flag any field."""
    sign, left = (1, n) if n > 0 else (-1, -n)
    whole, rest = divmod(left, INCREMENT_MAX)
    return [sign * INCREMENT_MAX] * min(whole, 4) + ([sign * rest] if rest else [])


def _cells(key: CellsKey, fields: dict[str, int], keeping: Retention) -> list[Any]:
    expires_at_s, is_logged = keeping.expires_at_s(key.kind, key.start), key.rollup == PRODUCTS.name
    seats = keeping.caps.seats(key.rollup, key.kind)
    return [redis_keys.cells(key), expires_at_s, seats, _flat(fields), is_logged, key.rollup]


def _sketches(sketches: Mapping[SketchKey, Collection[bytes]], keeping: Retention) -> list[Any]:
    """By bucket and dimension, each with its values and their persons in turn."""
    groups: dict[tuple[str, BucketKind, int, str], list[Any]] = {}
    pack = _digests if set(map(len, chain.from_iterable(sketches.values()))) == {8} else _texts
    for key, members in sketches.items():
        if not members:
            continue
        bucket = key[:4]
        group = groups.get(bucket)
        if group is None:
            group = groups[bucket] = _group(key, keeping)
        group[-1] += (key.value, pack(members))
    return list(groups.values())


def _group(key: SketchKey, keeping: Retention) -> list[Any]:
    """Where the sketches of a bucket and dimension are, and what is known of them; without values yet."""
    name = redis_keys.sketch_index(*key[:4]) if key.dimension else redis_keys.sketch(key)
    expires_at_s = keeping.expires_at_s(key.kind, key.start)
    goes_at_s = expires_at_s - (RETENTION_MS[key.kind] - sketch_retention_ms(key.kind, key.dimension)) // 1000
    record = redis_keys.cells(CellsKey(key.project, PERSONS.name, key.kind, key.start))
    return [name, goes_at_s, key.dimension, record, expires_at_s, []]


def _digests(persons: Collection[bytes]) -> msgspec.Raw:
    """Persons of 8 bytes each, as all of ours have: a list of texts, or, of many, the sketch that they come to."""
    if len(persons) < PERSONS_LISTED_MAX:
        return _eights(persons)
    from rtaplatform.core.sketches.hyperloglog import hyperloglog  # the API and small sites' workers need no NumPy

    return _raw(hyperloglog(persons))


def _eights(values: Collection[bytes]) -> msgspec.Raw:
    """A list of texts of 8 bytes each; of one or more."""
    size = len(values)
    head = bytes((0x90 | size, 0xA8)) if size < 16 else b"\xdd" + size.to_bytes(4, "big") + b"\xa8"
    return msgspec.Raw(head + b"\xa8".join(values))


def _texts(persons: Collection[bytes]) -> list[msgspec.Raw]:
    return list(map(_raw, persons))


def _online(project: str, seen: dict[bytes, int]) -> list[Any]:
    newest = max(seen.values())
    if set(map(len, seen)) == {8}:
        flat: Any = _packed(seen)
    else:
        flat = [item for person, at in seen.items() for item in (at, _raw(person))]
    return [project, max(0, newest - ONLINE_KEPT_MS), (newest + ONLINE_KEPT_MS) // 1000, flat]


def _packed(seen: Mapping[bytes, int]) -> msgspec.Raw:
    """A list of time and person in turn, for persons of 8 bytes."""
    entries = b"".join([_ENTRY.pack(0xCF, at, 0xA8, person) for person, at in seen.items()])
    return msgspec.Raw(b"\xdd" + (2 * len(seen)).to_bytes(4, "big") + entries)
