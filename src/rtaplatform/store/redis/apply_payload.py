"""Encode a delta as the payload of `rta_apply_v6`.   Stage 4 of 6.   Pure; redis/functions/rta_v1.lua reads it."""

from __future__ import annotations

import secrets
import struct
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import lru_cache
from itertools import chain, groupby
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import Struct

from rtaplatform.core.caps import CAPS, Caps, find_anchor, list_bounded_values
from rtaplatform.core.rollups import PERSONS, PRODUCTS
from rtaplatform.core.time.buckets import RETENTION_MS, BucketKind, compute_expiry_s, find_sketch_retention_ms
from rtaplatform.store import redis_keys
from rtaplatform.store.port import PERSONS_LISTED_MAX, CellsKey, Delta, PersonWrite, SketchKey

EXACT_IN_LUA = 2**53  # Lua's numbers are doubles
INCREMENT_MAX = 2**62  # the function refuses a larger increment
ONLINE_KEPT_MS = 15 * 60_000
_encode = msgspec.msgpack.Encoder().encode
_HEADS = [bytes((0xA0 | size,)) if size < 32 else bytes((0xD9, size)) for size in range(256)]
NO_TOKEN = bytes(8)  # expected of a person who has no value
_project_of = attrgetter("project")
_ENTRY = struct.Struct(">BQB8s")  # MessagePack's uint 64 and a text of 8 bytes


class Retention(Struct, frozen=True):
    """How long buckets are kept, and how many values one may have. Benchmarks with old events use other rules."""

    find_expiry_s: Callable[[BucketKind, int], int] = compute_expiry_s
    caps: Caps = CAPS


KEEPING = Retention()


def encode(generation: str, delta: Delta, keeping: Retention = KEEPING) -> bytes:
    return _encode(
        {
            "generation": generation,
            "call": secrets.token_hex(8),
            "projects_version": False if delta.projects_version is None else delta.projects_version,
            "moves": [[redis_keys.write_place(m.place), m.from_row, m.to_row] for m in delta.moves],
            "blocks": [
                [
                    b.name, _encode_raw(b.expected), _encode_raw(b.token),
                    _encode_raw(b.last_write_ms.to_bytes(8, "big")), _encode_raw(b.ids),
                    b.last_write_ms, redis_keys.read_dedup_partition(b.name), b.replace,
                ]
                for b in delta.blocks
            ],
            "loose": [
                [w.name, redis_keys.read_dedup_partition(w.name), _encode_eights(w.ids), w.expected_ms, w.written_ms]
                for w in delta.loose
            ],
            "orders": [[w.project, _encode_eights(w.ids), w.expected_ms, w.written_ms] for w in delta.orders],
            "persons": _encode_persons(delta.persons),
            "replayed": delta.replayed,
            "cells": [_encode_cells(key, fields, keeping) for key, fields in delta.cells.items()],
            "sketches": _encode_sketches(delta.sketches, keeping),
            "sketch_bytes": keeping.caps.product_sketch_bytes,  # of a function that reads no limit in the groups
            "rules": {name: rule for name in {key.rollup for key in delta.cells} if (rule := _find_rule(name))},
            "online": [
                _encode_online(project, event_times, delta.left_online.get(project, ()))
                for project, event_times in delta.online.items()
            ],
            "dead": [item for origin, dead_ms in delta.dead.items() for item in (dead_ms, origin)],
            "dead_before": delta.dead_before_ms,
            "counts": _flatten_fields(delta.counts),
            "expired": [item for pair in delta.expired_blocks.items() for item in pair],
            "projects": sorted({key.project for key in delta.cells}),
        }
    )  # fmt: skip


@lru_cache(maxsize=1_024)
def _find_rule(rollup: str) -> list[Any] | None:
    """The anchor of a rollup's values, and for each dimension whether all its values are bounded, or which of them."""
    dimensions = list_bounded_values(rollup)
    if not dimensions:
        return None
    return [find_anchor(rollup), [values if isinstance(values, bool) else sorted(values) for values in dimensions]]


def _encode_raw(value: bytes) -> msgspec.Raw:
    return msgspec.Raw(_encode_text(value))


def _encode_text(value: bytes) -> bytes:
    """Encode bytes as MessagePack's str, the only kind of text that Redis's decoder knows."""
    return _encode_head(len(value)) + value


def _encode_head(size: int) -> bytes:
    return _HEADS[size] if size < len(_HEADS) else b"\xdb" + size.to_bytes(4, "big")


def _encode_persons(persons: Iterable[PersonWrite]) -> list[list[Any]]:
    """Encode persons as columns: `[project, persons, expected tokens, tokens with values]` for those of one project."""
    groups: list[list[Any]] = []
    for project, run in groupby(persons, _project_of):
        writes = list(run)
        groups.append(
            [
                project,
                _encode_ids([write.person for write in writes]),
                _encode_raw(b"".join([write.expected or NO_TOKEN for write in writes])),
                _encode_values(writes),
            ]
        )
    return groups


def _flatten_fields(fields: dict[str, int]) -> list[Any]:
    """Flatten increments: field, number, … Numbers beyond 2^53 become text, those beyond 2^62 several increments."""
    values = fields.values()
    if values and 0 not in values and max(values) <= EXACT_IN_LUA and min(values) >= -EXACT_IN_LUA:
        return list(chain.from_iterable(fields.items()))
    flat: list[Any] = []
    for name, n in fields.items():
        if n:
            for part in (n,) if -INCREMENT_MAX <= n <= INCREMENT_MAX else _split(n):
                flat += (name, part if -EXACT_IN_LUA <= part <= EXACT_IN_LUA else str(part))
    return flat


def _split(n: int) -> list[int]:
    """Split a sum beyond ±2^62 into increments the function accepts. Four of the largest overflow any field."""
    sign, magnitude = (1, n) if n > 0 else (-1, -n)
    count, remainder = divmod(magnitude, INCREMENT_MAX)
    return [sign * INCREMENT_MAX] * min(count, 4) + ([sign * remainder] if remainder else [])


def _encode_cells(key: CellsKey, fields: dict[str, int], keeping: Retention) -> list[Any]:
    expires_at_s, is_logged = keeping.find_expiry_s(key.kind, key.start), key.rollup == PRODUCTS.name
    seats = keeping.caps.count_seats(key.rollup, key.kind)
    return [redis_keys.make_cells_key(key), expires_at_s, seats, _flatten_fields(fields), is_logged, key.rollup]


def _encode_sketches(sketches: Mapping[SketchKey, Collection[bytes]], keeping: Retention) -> list[Any]:
    """Group sketches by bucket and dimension. A group has a flat list: value, its persons, value, …"""
    groups: dict[tuple[str, BucketKind, int, str], list[Any]] = {}
    encode_members = _encode_digests if set(map(len, chain.from_iterable(sketches.values()))) == {8} else _encode_texts
    for key, members in sketches.items():
        if not members:
            continue
        bucket = key[:4]
        group = groups.get(bucket)
        if group is None:
            group = groups[bucket] = _encode_group(key, keeping)
        group[5] += (key.value, encode_members(members))
    return list(groups.values())


def _encode_group(key: SketchKey, keeping: Retention) -> list[Any]:
    """Describe the sketches of a bucket and dimension. The caller fills the empty list with values and persons."""
    name = redis_keys.make_sketch_index_key(*key[:4]) if key.dimension else redis_keys.make_sketch_key(key)
    expires_at_s = keeping.find_expiry_s(key.kind, key.start)
    sketch_expires_at_s = (
        expires_at_s - (RETENTION_MS[key.kind] - find_sketch_retention_ms(key.kind, key.dimension)) // 1000
    )
    record = redis_keys.make_cells_key(CellsKey(key.project, PERSONS.name, key.kind, key.start))
    bytes_max = keeping.caps.choose_sketch_bytes(key.dimension)
    return [name, sketch_expires_at_s, key.dimension, record, expires_at_s, [], bytes_max]


def _encode_digests(persons: Collection[bytes]) -> msgspec.Raw:
    """Encode persons of 8 bytes each: as a list of texts, or if there are many as a HyperLogLog."""
    if len(persons) < PERSONS_LISTED_MAX:
        return _encode_eights(persons)
    from rtaplatform.core.sketches.hyperloglog import hyperloglog  # the API and small sites' workers need no NumPy

    return _encode_raw(hyperloglog(persons))


def _encode_eights(values: Collection[bytes]) -> msgspec.Raw:
    """Encode a list of one or more texts of 8 bytes each."""
    size = len(values)
    head = bytes((0x90 | size, 0xA8)) if size < 16 else b"\xdd" + size.to_bytes(4, "big") + b"\xa8"
    return msgspec.Raw(head + b"\xa8".join(values))


def _encode_texts(persons: Collection[bytes]) -> list[msgspec.Raw]:
    return list(map(_encode_raw, persons))


def _encode_ids(persons: Collection[bytes]) -> Any:
    return _encode_eights(persons) if set(map(len, persons)) == {8} else _encode_texts(persons)


def _encode_values(writes: Collection[PersonWrite]) -> msgspec.Raw:
    """Encode a list of tokens with their values. There may be tens of thousands."""
    parts: list[bytes] = [b"\xdd" + len(writes).to_bytes(4, "big")]
    for write in writes:
        value = write.value
        if value:
            parts += (_encode_head(len(write.token) + len(value)), write.token, value)
        else:
            parts.append(b"\xa0")
    return msgspec.Raw(b"".join(parts))


def _encode_online(project: str, event_times: dict[bytes, int], departed_persons: Collection[bytes]) -> list[Any]:
    newest = max(event_times.values())
    if set(map(len, event_times)) == {8}:
        flat: Any = _pack_event_times(event_times)
    else:
        flat = [item for person, time_ms in event_times.items() for item in (time_ms, _encode_raw(person))]
    entry = [project, max(0, newest - ONLINE_KEPT_MS), (newest + ONLINE_KEPT_MS) // 1000, flat]
    return [*entry, _encode_texts(departed_persons)] if departed_persons else entry


def _pack_event_times(event_times: Mapping[bytes, int]) -> msgspec.Raw:
    """Encode a flat list: time, person, time, … for persons of 8 bytes."""
    entries = b"".join([_ENTRY.pack(0xCF, time_ms, 0xA8, person) for person, time_ms in event_times.items()])
    return msgspec.Raw(b"\xdd" + (2 * len(event_times)).to_bytes(4, "big") + entries)
