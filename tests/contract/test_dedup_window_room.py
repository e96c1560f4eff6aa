"""The room that a dedup window takes in the server, while its minute lasts and later; its ids stay as they are."""

from __future__ import annotations

import secrets
from typing import Any

from rtaplatform.store.port import Applied, BlockWrite, Delta
from tests.contract.shard import BASE, MINUTE, Shard

IDS, AT_ONCE = 1_200, 50
BESIDE = 100  # bytes of a key: its name, the object, the entry in the table
SIZE_CLASS = 1.25  # an allocation is rounded up by at most a quarter


def write(shard: Shard, minute: int, seen_ms: int, ids: bytes) -> None:
    """Add ids to the dedup window of this minute; `seen_ms` is the stream time of the write."""
    name = f"demo:rta.events.web:3:{minute}"
    stored: Any = shard.tester.get(f"{BASE}b:{name}") or b""
    written = BlockWrite(name, stored[:8], secrets.token_bytes(8), seen_ms, ids, False)
    assert shard.store.apply(0, "g1", Delta([], blocks=[written])) == Applied()


def fill(shard: Shard, minute: int) -> bytes:
    """In many batches, while the minute lasts."""
    ids = secrets.token_bytes(8 * IDS)
    for at in range(0, IDS, AT_ONCE):
        write(shard, minute, minute * 60_000 + at, ids[8 * at : 8 * (at + AT_ONCE)])
    return ids


def look(shard: Shard, minute: int) -> tuple[bytes, int]:
    """The ids of this minute's window, and the bytes that it takes."""
    key = f"{BASE}b:demo:rta.events.web:3:{minute}"
    stored: Any = shard.tester.get(key)
    return stored[16:], shard.tester.memory_usage(key) or 0


def is_trim(taken: int, ids: bytes) -> bool:
    return taken <= (16 + len(ids)) * SIZE_CLASS + BESIDE


def test_a_window_loses_its_growth_slack_once_its_minute_is_over(shard: Shard) -> None:
    ids = fill(shard, MINUTE)
    assert not is_trim(look(shard, MINUTE)[1], ids), "nothing to lose"
    for later in range(1, 7):
        write(shard, MINUTE + later, (MINUTE + later) * 60_000, secrets.token_bytes(8))
    ids_after, taken = look(shard, MINUTE)
    assert ids_after == ids
    assert is_trim(taken, ids)


def test_a_late_id_brings_no_new_slack(shard: Shard) -> None:
    ids = fill(shard, MINUTE)
    for late in range(3):
        more = secrets.token_bytes(8)
        write(shard, MINUTE, (MINUTE + 5 + late) * 60_000, more)
        ids += more
        ids_after, taken = look(shard, MINUTE)
        assert ids_after == ids
        assert is_trim(taken, ids)


def test_a_window_that_is_no_string_is_left_alone(shard: Shard) -> None:
    """The key of an older minute is not compared, so it must not stop the call."""
    shard.tester.hset(f"{BASE}b:demo:rta.events.web:3:{MINUTE - 5}", "what", "else")
    write(shard, MINUTE, MINUTE * 60_000, secrets.token_bytes(8))
    assert not shard.is_marked()
