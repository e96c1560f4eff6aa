"""One shard on the real server, and payloads for it as store/redis/apply_payload.py makes them, with every part in
use.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import msgspec
import redis

from rtaplatform.core.ledger import LedgerRow, PartitionId
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.time.buckets import BucketKind
from rtaplatform.settings import StoreSettings
from rtaplatform.store.port import CellsKey
from rtaplatform.store.redis.redis_store import RedisStore

NOW_MS = int(time.time() * 1000)
SEEN_MS = NOW_MS + 3_600_000  # of who is online: no clock passes it while the tests run
MINUTE = NOW_MS // 60_000
SOON_S = NOW_MS // 1000 + 86_400
PREFIX = "rta:{s00}:"
BASE = f"{PREFIX}g1:"
PLACE = PartitionId("topic-web", 0)
PROJECT = ProjectSettings("demo")
CELLS = CellsKey("demo", "activity", BucketKind.MINUTE, MINUTE)
BLOCK = f"demo:rta.events.web:3:{MINUTE}"


@dataclass
class Shard:
    """One shard on the server: as workers see it, and as nobody may."""

    store: RedisStore
    settings: StoreSettings
    tester: redis.Redis

    def begin_again(self) -> None:
        """Empty, with generation g1, and a first batch applied: so that every kind of key is there."""
        self.tester.flushdb()
        self.store.begin(0, expected="", generation="g1", topics={"rta.events.web": "topic-web"}, starts={PLACE: 0})
        self.store.set_projects([PROJECT])
        for payload in (make_first_batch(), make_second_batch()):
            assert self.call(payload) == [b"OK"]

    def call(self, payload: Any) -> Any:
        raw = payload if isinstance(payload, bytes) else msgspec.msgpack.encode(payload)
        client = self.store._client
        return client.fcall("rta_apply_v6", 1, f"{PREFIX}shard", raw)

    def read_digest(self) -> dict[str, tuple[bytes, int]]:
        """Every key, with what it holds and when it goes."""
        keys = sorted(self.tester.scan_iter("*", count=1_000))
        with self.tester.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.dump(key)
                pipe.expiretime(key)
            values = pipe.execute()
        return {key.decode("latin-1"): (values[2 * i], values[2 * i + 1]) for i, key in enumerate(keys)}

    def is_marked(self) -> bool:
        return bool(self.tester.exists(f"{BASE}inflight"))


def make_payload(after: int, upto: int, **parts: Any) -> dict[str, Any]:
    moves = [["topic-web:0", make_row(after) if after else "", make_row(upto)]]
    return {
        "generation": "g1", "call": "00112233", "projects_version": False, "moves": moves, "blocks": [],
        "loose": [], "orders": [], "persons": [], "replayed": [], "cells": [], "sketches": [],
        "sketch_bytes": 1_000_000, "rules": {}, "online": [], "dead": [], "dead_before": 0,
        "counts": [], "expired": [], "projects": ["demo"], **parts,
    }  # fmt: skip


NO_TOKEN = "\0" * 8  # expected of a person who has no value


def make_first_batch() -> dict[str, Any]:
    return make_payload(
        0, 1,
        blocks=[["demo:t:3:1", "", "token-01", "12345678", "id-00001", 5, "t:3", False]],
        loose=[["demo:t:3", "t:3", ["loose-01", "loose-02"], [-1, -1], [5, 5]]],
        orders=[["demo", ["order-01", "order-02"], [-1, -1], [5, 5]]],
        persons=[["demo", ["u-1"], NO_TOKEN, ["token-01value"]]],
        dead=[NOW_MS, "t:0:0", NOW_MS, "t:0:1"],
    )  # fmt: skip


def make_second_batch() -> dict[str, Any]:
    return make_payload(
        1, 2,
        cells=[["demo:activity:m:1", SOON_S, 100, ["count", 5, "revenue", "9007199254740993"], False, "activity"]],
        sketches=[["demo:h:1:source", SOON_S, "source", "demo:persons:h:1", SOON_S, ["web", ["p1", "p2"]]]],
        online=[["demo", 0, SOON_S, [NOW_MS, "p1"]]],
        counts=["demo|applied", 5],
    )  # fmt: skip


def make_full_batch() -> dict[str, Any]:
    return make_payload(
        2, 3,
        blocks=[
            ["demo:t:3:1", "token-01", "token-02", "12345679", "id-00002id-00003", 6, "t:3", False],
            ["demo:t:3:2", "", "token-03", "12345679", "id-00004", 6, "t:3", True],
        ],
        loose=[
            ["demo:t:3", "t:3", ["loose-01", "loose-03"], [5, -1], [-1, 6]],
            ["demo:t:4", "t:4", ["loose-01"], [-1], [6]],
        ],
        orders=[
            ["demo", ["order-01", "order-03"], [5, -1], [-1, 6]],
            ["~demo", ["order-01"], [-1], [6]],
        ],
        persons=[["demo", ["u-1", "u-2"], "token-01" + NO_TOKEN, ["token-02value 2", ""]]],
        replayed=["t:0:0"],
        rules={"activity": ["count", [["$page"], True]]},
        cells=[
            [
                "demo:activity:m:1", SOON_S, 100,
                ["count", 1, "revenue", "-9007199254740993", "count\x1fa\x1fweb", 1], False, "activity",
            ],
        ],
        sketches=[
            ["demo:h:1:source", SOON_S, "source", "demo:persons:h:1", SOON_S, ["ios", ["p3"], "web", ["p4"]]],
            ["demo:m:1", SOON_S, "", "demo:persons:m:1", SOON_S, ["", ["p"]]],
        ],
        online=[["demo", 1, SOON_S, [NOW_MS, "p2", NOW_MS, "p3"]]],
        dead=[NOW_MS, "t:0:2"],
        dead_before=1,
        counts=["demo|applied", 1, "topic-web:0|applied", 1],
        expired=["t:3", 1, "t:4", 1],
    )  # fmt: skip


def make_row(next_offset: int) -> str:
    return LedgerRow(next_offset, next_offset - 1, NOW_MS, "00ff", 0, NOW_MS).to_text()
