"""The store's function on a real server: rights that are missing, libraries that are lost or older, large batches."""

from __future__ import annotations

import re
from importlib import resources
from typing import Any

import msgspec
import pytest
import redis

from rtaplatform.core.errors import Unable
from rtaplatform.core.ledger import PartitionId
from rtaplatform.core.rollups import make_field
from rtaplatform.core.sketches.hyperloglog import hyperloglog
from rtaplatform.core.time.buckets import BucketKind
from rtaplatform.local.servers.valkey import USERS
from rtaplatform.store import redis_keys
from rtaplatform.store.port import (
    Advance,
    Applied,
    BlockWrite,
    CellsKey,
    Delta,
    LooseWrite,
    Moved,
    ReadPersonCounts,
    ReadPersonSketches,
    SketchKey,
)
from rtaplatform.store.redis.apply_payload import _encode_raw
from rtaplatform.store.redis.redis_reader import RedisReader
from tests.comparison import SKETCH_ERROR_MAX
from tests.contract.shard import (
    BASE,
    BLOCK,
    CELLS,
    MINUTE,
    NOW_MS,
    PLACE,
    PREFIX,
    SEEN_MS,
    Shard,
    make_full_batch,
    make_row,
)

# Rights -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    ["zadd", "zmscore", "hincrby", "pfadd", "pfmerge", "strlen", "append", "expireat", "hset", "sadd", "publish"],
)
def test_a_right_that_is_missing_tears_at_worst_and_never_counts_twice(shard: Shard, command: str) -> None:
    limited = make_limited_client(shard, command)
    before = shard.read_digest()
    raw = msgspec.msgpack.encode(with_a_crowd(make_full_batch()))
    answers = []
    for _ in range(3):
        try:
            answers.append(limited.fcall("rta_apply_v6", 1, f"{PREFIX}shard", raw)[0].decode())
        except redis.ResponseError as error:
            assert "no permission" in str(error)  # noqa: PT017  (of several calls, each may fail)
            answers.append("NOPERM")
    limited.close()
    after = shard.read_digest()
    if answers[0] == "OK":  # what is missing is not needed for a whole batch, or leaves something out and says so
        assert answers[1:] == ["MOVED", "MOVED"]
        short = shard.tester.hexists(f"{BASE}c:demo:activity:m:1", "!")
        broken = shard.tester.hexists(f"{BASE}c:demo:persons:h:1", "broken\x1fsource")
        assert (short, broken) == (command == "hincrby", command in ("pfadd", "pfmerge"))
        assert not shard.is_marked()
    else:
        assert answers[0] == "NOPERM"
        assert answers[1:] == (["TORN", "TORN"] if shard.is_marked() else ["NOPERM", "NOPERM"])
        assert shard.is_marked() == (after != before)
        assert after[f"{BASE}ledger"] == before[f"{BASE}ledger"]


def with_a_crowd(batch: dict[str, Any]) -> dict[str, Any]:
    """Many persons, who come to a sketch that is there."""
    batch["sketches"][0][5][3] = _encode_raw(hyperloglog(n.to_bytes(8, "big") for n in range(2_000)))
    return batch


def test_workers_need_none_of_the_commands_that_are_denied(shard: Shard) -> None:
    denied = ("keys", "eval", "evalsha", "function", "config", "flushall", "flushdb", "script", "sort", "debug")
    rights = USERS["rta"].split()
    assert not set(denied) & set(rights)
    before = shard.tester.info("commandstats")
    assert shard.call(make_full_batch()) == [b"OK"]
    used = {name for name, of in shard.tester.info("commandstats").items() if of != before.get(name)}
    assert not used & {f"cmdstat_{name}" for name in ("keys", "hgetall", "smembers", "hkeys", "hvals", "lrange")}


def make_limited_client(shard: Shard, command: str) -> redis.Redis:
    setting: Any = shard.tester.execute_command
    setting("ACL", "SETUSER", "limited", "reset", "on", ">limited", "~rta:*", "&rta:*", "+@all", f"-{command}")
    address = shard.tester.connection_pool.connection_kwargs
    return redis.Redis(address["host"], address["port"], username="limited", password="limited")


# Functions and sizes ------------------------------------------------------------------------------------------------


def test_a_lost_function_library_is_loaded_again_by_itself(shard: Shard) -> None:
    shard.tester.function_flush()
    moves = [Advance(PLACE, make_row(2), make_row(3))]
    assert shard.store.apply(0, "g1", Delta(moves, cells={CELLS: {"count": 1}})) == Applied()
    assert shard.store.apply(0, "g1", Delta(moves, cells={CELLS: {"count": 1}})) == Moved("g1", {PLACE: make_row(3)})


def test_many_loose_ids_go_with_some_calls_and_the_index_knows_when(shard: Shard) -> None:
    """A call removes 1,000 and twice as many as it adds, oldest first: a flood cannot outrun it."""
    ids = [n.to_bytes(8, "little") for n in range(2_500)]
    key, index = f"{BASE}i:demo:rta.events.web:3", f"{BASE}bx:rta.events.web:3"
    once = LooseWrite("demo:rta.events.web:3", ids, [-1] * 2_500, [NOW_MS + n for n in range(2_500)])
    assert shard.store.apply(0, "g1", Delta([], loose=[once])) == Applied()
    assert shard.tester.zrange(index, 0, -1, withscores=True) == [(b"demo:rta.events.web:3:", NOW_MS)]
    expired = {"rta.events.web:3": NOW_MS + 2_399}
    remains = []
    for at, more in ((2, 0), (3, 300), (4, 0)):
        added = [b"more" + n.to_bytes(4, "little") for n in range(more)]
        loose = [LooseWrite("demo:rta.events.web:3", added, [-1] * more, [NOW_MS + 9_000] * more)] if more else []
        delta = Delta([Advance(PLACE, make_row(at), make_row(at + 1))], loose=loose, expired_blocks=expired)
        assert shard.store.apply(0, "g1", delta) == Applied()
        remains.append((shard.tester.zcard(key), shard.tester.zscore(index, "demo:rta.events.web:3:")))
    assert remains == [(1_500, NOW_MS + 1_000), (400, NOW_MS + 2_400), (400, NOW_MS + 2_400)]
    delta = Delta([Advance(PLACE, make_row(5), make_row(6))], expired_blocks={"rta.events.web:3": NOW_MS + 9_000})
    assert shard.store.apply(0, "g1", delta) == Applied()
    assert not shard.tester.exists(key, index)


def test_a_batch_without_loose_ids_calls_the_server_no_oftener(shard: Shard) -> None:
    before = shard.tester.info("commandstats")
    moves = [Advance(PLACE, make_row(2), make_row(3))]
    block = BlockWrite(BLOCK, b"", b"12345678", NOW_MS, b"id-00001", False)
    expired = {f"rta.events.web:{n}": 1 for n in range(16)}
    delta = Delta(moves, cells={CELLS: {"count": 1}}, blocks=[block], expired_blocks=expired)
    assert shard.store.apply(0, "g1", delta) == Applied()
    after: Any = shard.tester.info("commandstats")
    for command in ("zmscore", "zcount", "zrange", "zremrangebyrank"):
        assert _count_calls(after, command) == _count_calls(before, command)


def _count_calls(stats: Any, command: str) -> int:
    return int(stats.get(f"cmdstat_{command}", {}).get("calls", 0))


async def test_a_library_of_the_version_before_is_replaced_by_whoever_needs_more(shard: Shard) -> None:
    """An older worker that found none may load its own at any time; it lacks what has a new name since."""
    code = "\n".join(
        resources.files("rtaplatform.store.redis").joinpath("functions", f"{part}.lua").read_text()
        for part in redis_keys.FUNCTIONS
    )
    older = "\n".join(line for line in code.splitlines() if not re.search("_v[56]'|counts_v1'|sketches_v1'", line))
    assert older != code
    reader = RedisReader(shard.settings)
    newer = ReadPersonCounts("product_id", BucketKind.HOUR, ()), ReadPersonSketches("product_id", BucketKind.HOUR, ())
    moves = [Advance(PLACE, make_row(2), make_row(3))]
    load: Any = shard.tester.function_load
    load(older, replace=True)
    assert shard.store.apply(0, "g1", Delta(moves, cells={CELLS: {"count": 1}})) == Applied()
    load(older, replace=True)
    for read in newer:
        with pytest.raises(Unable, match="rta migrate"):
            await reader.read("demo", [read])
    shard.store.check()
    assert (await reader.read("demo", newer)).answers == ([], [])
    await reader.close()


def test_twenty_thousand_of_everything_fit_into_one_call(shard: Shard) -> None:
    n = 20_000
    hour = CellsKey("demo", "activity", BucketKind.HOUR, MINUTE // 60 * 60)
    persons = {index.to_bytes(8, "big") for index in range(n)}
    delta = Delta(
        [
            Advance(PLACE, make_row(2), make_row(3)),
            *(Advance(PartitionId("topic-web", k), "", make_row(1)) for k in range(1, 5_000)),
        ],
        cells={CELLS: {make_field("count", str(i)): 1 for i in range(n)}, hour: {"count": n}},
        sketches={SketchKey("demo", BucketKind.MINUTE, MINUTE, "", ""): persons},
        online={"demo": dict.fromkeys(persons, SEEN_MS)},
        blocks=[BlockWrite(BLOCK, b"", b"12345678", NOW_MS, b"".join(persons), False)],
        dead={f"rta.events.web:0:{i}": NOW_MS for i in range(n)},
        counts={f"p{i}|applied": 1 for i in range(n)},
    )
    assert shard.store.apply(0, "g1", delta) == Applied()
    assert not shard.is_marked()
    assert shard.tester.zcard(f"{BASE}dead") == n + 2
    assert shard.tester.zcard(f"{BASE}online:demo") == n  # the one before has left by now
    assert shard.tester.hlen(f"{BASE}counts") == n + 1
    assert shard.tester.hlen(f"{BASE}ledger") == 5_000
    assert shard.tester.strlen(f"{BASE}b:{BLOCK}") == 16 + 8 * n
    assert abs(shard.tester.pfcount(f"{BASE}p:demo:m:{MINUTE}") - n) < SKETCH_ERROR_MAX * n


def test_a_sum_of_many_largest_amounts_is_exact_or_flagged_and_never_refused(shard: Shard) -> None:
    for offset, amount in ((2, 2**62 + 5), (3, -(2**62) - 7), (4, 3 * 2**61), (5, 2**80), (6, -(2**80))):
        moves = [Advance(PLACE, make_row(offset), make_row(offset + 1))]
        assert shard.store.apply(0, "g1", Delta(moves, cells={CELLS: {"revenue": amount, "count": 1}})) == Applied()
        if offset == 4:
            assert shard.tester.hget(f"{BASE}c:demo:activity:m:{MINUTE}", "revenue") == str(3 * 2**61 - 2).encode()
            assert not shard.tester.hexists(f"{BASE}c:demo:activity:m:{MINUTE}", "!")
    assert shard.tester.hget(f"{BASE}c:demo:activity:m:{MINUTE}", "count") == b"5"
    assert shard.tester.hget(f"{BASE}c:demo:activity:m:{MINUTE}", "!revenue") == b"1"
    assert not shard.tester.hexists(f"{BASE}c:demo:activity:m:{MINUTE}", "!count")
