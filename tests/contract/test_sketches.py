"""Sketches on the real server: many persons in one text come to what it makes of them one by one."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import redis

from rtaplatform.core.ledger import LedgerRow, PartitionId
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.sketches.hyperloglog import hyperloglog
from rtaplatform.core.time.buckets import BucketKind, compute_expiry_s
from rtaplatform.local.servers.valkey import Valkey
from rtaplatform.store.port import Advance, Applied, Delta, SketchKey
from rtaplatform.store.redis.apply_payload import encode
from rtaplatform.store.redis.redis_store import RedisStore
from tests.comparison import SKETCH_ERROR_MAX
from tests.contract.conftest import store_settings
from tests.integration.servers import TESTER, Running, flush

PLACE = PartitionId("topic-web", 0)
NOW_MS = int(time.time() * 1000)
HOUR = NOW_MS // 3_600_000 * 60
BASE = "rta:{s00}:g1:"


@pytest.fixture
def store(valkey_server: Running[Valkey]) -> Iterator[RedisStore]:
    flush(valkey_server)
    store = RedisStore(store_settings(valkey_server))
    store.begin(0, expected="", generation="g1", topics={"rta.events.web": "topic-web"}, starts={PLACE: 0})
    store.set_projects([ProjectSettings("demo", "Europe/Berlin", "EUR")])
    yield store
    store.close()


@pytest.fixture
def tester(valkey_server: Running[Valkey]) -> Iterator[Any]:
    with redis.Redis.from_url(valkey_server.server.make_url(TESTER)) as tester:
        yield tester


def make_delta(after: int, sketches: dict[SketchKey, list[bytes]]) -> Delta:
    row = LedgerRow(after, after - 1, NOW_MS, "00ff", 0, NOW_MS).to_text() if after else ""
    upto = LedgerRow(after + 1, after, NOW_MS, "00ff", 0, NOW_MS).to_text()
    return Delta([Advance(PLACE, row, upto)], sketches=sketches)


def make_key(source: str) -> SketchKey:
    return SketchKey("demo", BucketKind.HOUR, HOUR, "source", source)


def test_many_have_the_registers_that_the_server_would_make(store: RedisStore, tester: Any) -> None:
    few, many = [b"8 bytes."], [secrets.token_bytes(8) for _ in range(5_000)]
    assert store.apply(0, "g1", make_delta(0, {make_key("server"): few})) == Applied()
    assert store.apply(0, "g1", make_delta(1, {make_key("server"): many, make_key("ios"): many})) == Applied()
    for source, persons in (("server", few + many), ("ios", many)):
        name, theirs = f"{BASE}p:demo:h:{HOUR}:source:{source}", f"theirs:{source}"
        tester.pfadd(theirs, *persons)
        assert tester.get(name)[16:] == tester.get(theirs)[16:]  # what is before holds a count that may be kept
        assert tester.pfcount(name) == tester.pfcount(theirs)
        assert tester.expiretime(name) == compute_expiry_s(BucketKind.HOUR, HOUR)
    assert tester.smembers(f"{BASE}px:demo:h:{HOUR}:source") == {b"server", b"ios"}
    assert not tester.exists(f"{BASE}merged")


@pytest.mark.parametrize(
    "wrong", ["", "HYLL", "HYLL" + 12_299 * "\0", "HYLL" + 12_301 * "\0", "HYLL\2" * 2_460 + "HYLL"]
)
def test_what_is_no_sketch_is_refused_before_anything_is_written(store: RedisStore, tester: Any, wrong: str) -> None:
    payload = msgspec.msgpack.decode(encode("g1", make_delta(0, {make_key("ios"): [b"12345678"]})))
    payload["sketches"][0][5][1] = wrong
    before = sorted(tester.keys())
    with pytest.raises(redis.ResponseError, match="INVALID sketches"):
        store._client.fcall("rta_apply_v6", 1, "rta:{s00}:shard", msgspec.msgpack.encode(payload))
    assert sorted(tester.keys()) == before


def test_a_sketch_that_is_no_text_is_damage(store: RedisStore, tester: Any) -> None:
    name = f"{BASE}p:demo:h:{HOUR}:source:ios"
    tester.sadd(name, "a")
    sent = encode("g1", make_delta(0, {make_key("ios"): [b"12345678"]}))
    reply = store._client.fcall("rta_apply_v6", 1, "rta:{s00}:shard", sent)
    assert reply == [b"TORN", f"damaged: another type under {name}".encode()]


def test_a_sketch_in_the_servers_format_is_one(tester: Any) -> None:
    tester.set("ours", hyperloglog(n.to_bytes(8, "big") for n in range(100)))
    assert tester.pfcount("ours") == pytest.approx(100, rel=SKETCH_ERROR_MAX)
