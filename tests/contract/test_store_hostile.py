"""The store's function on a real server, given what no worker of ours would send: it answers, or it refuses whole."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtaplatform.core.errors import Stopped
from rtaplatform.process.worker.worker import Worker
from rtaplatform.store.port import (
    Delta,
    Torn,
)
from rtaplatform.store.redis.redis_reader import RedisReader
from rtaplatform.store.redis.redis_store import RedisStore
from rtaplatform.stream.memory import MemoryBroker, MemoryLog
from rtaplatform.stream.port import Partition
from tests.contract.shard import (
    BASE,
    NOW_MS,
    PREFIX,
    Shard,
    make_full_batch,
    make_payload,
)
from tests.examples import count_examples

MESSAGE = b'{"projectId":"demo","type":"page","messageId":"m","anonymousId":"a"}'


# What goes wrong in them --------------------------------------------------------------------------------------------

Path = tuple[Any, ...]
ABSENT = object()
HOSTILE: dict[str, Any] = {
    "absent": ABSENT, "nil": None, "true": True, "false": False, "empty text": "", "text": "x", "eight": "8 bytes!",
    "zero": 0, "minus one": -1, "minus zero": -0.0, "fraction": 1.5, "NaN": float("nan"), "infinity": float("inf"),
    "minus infinity": float("-inf"), "2^53": 2**53, "2^53+1": 2**53 + 1, "2^63": 2**63, "-2^63": -(2**63),
    "1e300": 1e300, "text of a number": "12", "text of 2^62": str(2**62), "text beyond 2^62": str(2**62 + 1),
    "text of minus zero": "-0", "text with zeros": "007", "text with an exponent": "1e5", "text of NaN": "nan",
    "long digits": "9" * 400, "bytes": b"\x00\xff\x00\xff", "lines": "a\r\n+OK\r\n", "long text": "k" * 70_000,
    "longish key": "k" * 1_025, "empty list": [], "list of nil": [None], "empty map": {}, "map": {"a": 1},
    "list with a hole": {1: "x", 2: 5, 4: "z"}, "pairs with a hole": {1: "x", 2: 5, 3: "y", 4: 5, 8: "z"},
    "nil inside": ["x", None, "y", 1], "eight values": list(range(8)), "texts": ["x"] * 5, "deep": [[[[[[[[]]]]]]]],
    "many": list(range(20_000)), "many texts": [str(n) for n in range(20_000)], "other shard": "}x{s01}:shard",
}  # fmt: skip


def list_paths(value: Any, path: Path = ()) -> Iterator[Path]:
    """Every place in a payload, the root not included."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        yield (*path, name)
        yield from list_paths(inner, (*path, name))


PATHS = list(list_paths(make_full_batch()))


def spoil_batch(changes: list[tuple[Path, Any]]) -> dict[str, Any]:
    batch = make_full_batch()
    for path, value in changes:
        at: Any = batch
        for step in path[:-1]:
            if not _has(at, step):
                break
            at = at[step]
        if not _has(at, path[-1]):
            continue  # an earlier change took the place away
        if value is ABSENT:
            del at[path[-1]]
        else:
            at[path[-1]] = copy.deepcopy(value)
    return batch


def _has(at: Any, step: Any) -> bool:
    return (isinstance(at, dict) and step in at) or (isinstance(at, list) and isinstance(step, int) and step < len(at))


def refuses_or_applies(shard: Shard, raw: Any, before: dict[str, tuple[bytes, int]]) -> str:
    """What is wrong with the answer; empty: nothing. Where the batch was applied the shard begins again."""
    try:
        answer = shard.call(raw)[0].decode()
    except redis.ResponseError as error:
        answer = f"error {error}"
    after = shard.read_digest()
    if answer == "OK":
        ledger, is_marked = shard.tester.hget(f"{BASE}ledger", "topic-web:0"), shard.is_marked()
        shard.begin_again()
        return "" if ledger and not is_marked else f"OK, with a marker: {is_marked}, ledger {ledger!r}"
    if answer.startswith(("error INVALID", "error not a shard key", "CONFLICT", "MOVED")):
        return "" if after == before else f"{answer}, and yet {_list_differing(before, after)} differ"
    return f"{answer}; {_list_differing(before, after)} differ"


def _list_differing(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [key for key in before.keys() | after.keys() if before.get(key) != after.get(key)]


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_wrong_value_anywhere_is_refused_whole_or_harmless(shard: Shard, value: Any) -> None:
    before = shard.read_digest()
    wrong = {}
    for path in PATHS:
        problem = refuses_or_applies(shard, spoil_batch([(path, value)]), before)
        if "OK" in problem or not problem:
            before = shard.read_digest()
        if problem:
            wrong[path] = problem
            shard.begin_again()
            before = shard.read_digest()
    assert wrong == {}


@given(st.lists(st.tuples(st.sampled_from(PATHS), st.sampled_from(list(HOSTILE.values()))), min_size=2, max_size=4))
@settings(max_examples=count_examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_several_wrong_values_are_refused_whole_or_harmless(shard: Shard, changes: list[tuple[Path, Any]]) -> None:
    shard.begin_again()
    assert refuses_or_applies(shard, spoil_batch(changes), shard.read_digest()) == ""


@given(
    st.one_of(
        st.binary(max_size=50),
        st.tuples(st.integers(0, 1_000), st.integers(0, 255)).map(
            lambda change: _with_byte(msgspec.msgpack.encode(make_full_batch()), *change)
        ),
        st.integers(0, 900).map(lambda size: msgspec.msgpack.encode(make_full_batch())[:size]),
    )
)
@settings(max_examples=count_examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_bytes_are_refused_whole_or_harmless(shard: Shard, raw: bytes) -> None:
    shard.begin_again()
    assert refuses_or_applies(shard, raw, shard.read_digest()) == ""


def _with_byte(raw: bytes, at: int, byte: int) -> bytes:
    at %= len(raw)
    return raw[:at] + bytes((byte,)) + raw[at + 1 :]


def test_an_error_never_repeats_what_was_sent(shard: Shard) -> None:
    with pytest.raises(redis.ResponseError) as error:
        shard.call(spoil_batch([(("counts",), ["secret\r\n+OK", "secret"])]))
    assert str(error.value) == "INVALID counts"


def test_a_shard_without_a_generation_takes_nothing(shard: Shard) -> None:
    shard.tester.flushdb()
    for name in ("", "g1"):
        assert shard.call({**make_full_batch(), "generation": name, "moves": []})[0] == b"MOVED"
    assert shard.tester.dbsize() == 0


# Damage -------------------------------------------------------------------------------------------------------------

# Key → a value of another type. What a worker reads before it calls is damaged for the worker's own reads too.
DAMAGE = {
    "c:demo:activity:m:1": "string", "p:demo:h:1:source:ios": "list", "px:demo:h:1:source": "string",
    "online:demo": "string", "b:demo:t:3:1": "list", "bx:t:3": "string", "bx:t:4": "string", "i:demo:t:3": "string",
    "person:demo": "string",
    "dead": "string", "counts": "string", "c:demo:persons:h:1": "string", "ledger": "string", "inflight": "list",
}  # fmt: skip


def plant(shard: Shard, key: str, kind: str) -> None:
    shard.tester.delete(key)
    if kind == "string":
        shard.tester.set(key, "planted")
    else:
        shard.tester.rpush(key, "planted")


@pytest.mark.parametrize(("name", "kind"), DAMAGE.items(), ids=DAMAGE.keys())
def test_a_key_of_another_type_tears_the_shard_and_nothing_else_is_written(shard: Shard, name: str, kind: str) -> None:
    plant(shard, BASE + name, kind)
    before = shard.read_digest()
    for _ in range(3):
        assert shard.call(make_full_batch())[0] == b"TORN"
    after = shard.read_digest()
    assert set(_list_differing(before, after)) == {f"{BASE}inflight"}


def test_a_shard_key_of_another_type_is_torn_and_stops_whoever_reads_it(shard: Shard) -> None:
    plant(shard, f"{PREFIX}shard", "string")
    before = shard.read_digest()
    assert shard.call(make_full_batch())[0] == b"TORN"
    assert shard.read_digest() == before
    with pytest.raises(Stopped):
        shard.store.read_state(0)


def test_a_worker_stops_at_damage_and_does_not_try_for_ever(shard: Shard) -> None:
    plant(shard, f"{BASE}counts", "string")
    worker, calls = make_worker(shard)
    for _ in range(30):
        worker.turn()
    assert len(calls) <= 1
    assert any("torn" in reason for reason in worker.positions.stops.values())
    assert shard.tester.hget(f"{PREFIX}stops", "shard 0") is not None


@pytest.mark.parametrize("name", ["ledger", "manifest"])
def test_a_worker_waits_where_what_it_reads_first_is_damaged(shard: Shard, name: str) -> None:
    plant(shard, BASE + name, "string")
    waits: list[float] = []
    worker, calls = make_worker(shard, waits)
    for _ in range(5):
        worker.turn()
    assert len(waits) == 5
    assert calls == []


async def test_a_reader_is_told_of_damage(shard: Shard) -> None:
    plant(shard, f"{BASE}ledger", "string")
    reader = RedisReader(shard.settings)
    with pytest.raises(Stopped):
        await reader.read("demo", [])
    await reader.close()


def make_worker(shard: Shard, waits: list[float] | None = None) -> tuple[Worker, list[Delta]]:
    """A worker with one record to count, and the batches that it sends."""
    shard.tester.hdel(f"{BASE}ledger", "topic-web:0") if shard.tester.type(f"{BASE}ledger") == b"hash" else None
    broker = MemoryBroker({"rta.events.web": 1})
    broker.ids["rta.events.web"] = "topic-web"
    partition = Partition("rta.events.web", 0)
    broker.append(partition, NOW_MS, b"k", MESSAGE)
    log = MemoryLog(broker)
    log.assign([partition])
    calls: list[Delta] = []

    class Watched(RedisStore):
        def apply(self, shard: int, generation: str, delta: Delta) -> Any:
            calls.append(delta)
            return super().apply(shard, generation, delta)

    sleep = (lambda _: None) if waits is None else waits.append
    return Worker(log, log, Watched(shard.settings), shards=1, sleep=sleep, clock=lambda: 0.0), calls


def test_a_marker_of_another_call_tears_every_call(shard: Shard) -> None:
    shard.tester.set(f"{BASE}inflight", "some call")
    before = shard.read_digest()
    for batch in (make_full_batch(), make_payload(2, 2), make_payload(9, 9), {**make_full_batch(), "generation": "g0"}):
        assert shard.call(batch) == [b"TORN", b"some call"]
    assert shard.store.apply(0, "g1", Delta(moves=[])) == Torn("some call")
    assert shard.read_digest() == before
    state = shard.store.read_state(0)
    assert state is not None
    assert state.torn
