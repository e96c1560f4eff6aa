"""The payload: what the function takes, whatever a batch sums up to."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtaplatform.core.ledger import LedgerRow, PartitionId, read_row
from rtaplatform.core.sharding import find_shard
from rtaplatform.core.sketches.hyperloglog import BYTES, hyperloglog
from rtaplatform.core.time.buckets import BucketKind
from rtaplatform.store import redis_keys
from rtaplatform.store.port import PERSONS_LISTED_MAX, Advance, BlockWrite, CellsKey, Delta, LooseWrite, SketchKey
from rtaplatform.store.redis.apply_payload import ONLINE_KEPT_MS, encode

ALL = SketchKey("demo", BucketKind.HOUR, 60, "", "")
CELLS = CellsKey("demo", "activity", BucketKind.MINUTE, 29_916_666)


def make_payload(delta: Delta) -> dict[str, object]:
    raw = msgspec.msgpack.decode(encode("g1", delta))
    assert isinstance(raw, dict)
    return raw


def encode_increments(n: int) -> list[tuple[str, object]]:
    cells = make_payload(Delta([], cells={CELLS: {"revenue": n}}))["cells"]
    assert isinstance(cells, list)
    flat = cells[0][3]
    return list(zip(flat[::2], flat[1::2], strict=True))


@given(
    st.one_of(
        st.integers(-(2**64), 2**64), st.sampled_from([2**53, 2**53 + 1, -(2**53) - 1, 2**62, -(2**62), 2**62 + 1])
    )
)
def test_increments_are_exact_and_none_is_too_large_for_the_function(n: int) -> None:
    parts = encode_increments(n)
    assert sum(int(str(part)) for _, part in parts) == n
    for name, part in parts:
        assert name == "revenue"
        assert abs(int(str(part))) <= 2**62
        assert isinstance(part, str) == (abs(int(str(part))) > 2**53)  # Lua's numbers are doubles


def test_zero_is_no_increment_and_a_huge_sum_stays_short() -> None:
    assert encode_increments(0) == []
    assert len(encode_increments(2**90)) <= 5
    assert sum(int(str(part)) for _, part in encode_increments(2**90)) >= 2**64  # enough to flag any field


@pytest.mark.parametrize("size", [0, 1, 31, 32, 255, 256, 65_536])
def test_bytes_travel_as_text_of_any_length(size: int) -> None:
    ids = bytes(8 * size)
    block = BlockWrite("demo:t:3:5", b"", b"12345678", 5, ids, True)
    blocks = make_payload(Delta([], blocks=[block]))["blocks"]
    assert blocks == [["demo:t:3:5", "", "12345678", "\0" * 7 + "\x05", "\0" * len(ids), 5, "t:3", True]]


@pytest.mark.parametrize("number", [1, 15, 16, 3_000])
def test_loose_ids_are_three_columns(number: int) -> None:
    ids = [f"{n:08}".encode() for n in range(number)]
    loose = LooseWrite("demo:t:3", ids, [-1] * number, [5] * number)
    sets = make_payload(Delta([], loose=[loose]))["loose"]
    assert sets == [["demo:t:3", "t:3", [id.decode() for id in ids], [-1] * number, [5] * number]]


def test_each_call_has_its_own_name() -> None:
    delta = Delta([Advance(PartitionId("id", 0), "", "row")])
    assert make_payload(delta)["call"] != make_payload(delta)["call"]
    assert make_payload(delta)["moves"] == [["id:0", "", "row"]]


def test_an_absent_version_of_the_projects_is_not_compared() -> None:
    assert make_payload(Delta([]))["projects_version"] is False
    assert make_payload(Delta([], projects_version=""))["projects_version"] == ""


def test_sketches_travel_by_bucket_and_dimension() -> None:
    keys = [("source", "web"), ("source", "ios"), ("", ""), ("product_id", "p")]
    sketches = {SketchKey("demo", BucketKind.HOUR, 60, *key): {b"p"} for key in keys}
    groups = make_payload(Delta([], sketches=sketches))["sketches"]
    assert isinstance(groups, list)
    assert [(group[0], *group[2:4], group[5]) for group in groups] == [
        ("demo:h:60:source", "source", "demo:persons:h:60", ["web", ["p"], "ios", ["p"]]),
        ("demo:h:60", "", "demo:persons:h:60", ["", ["p"]]),
        ("demo:h:60:product_id", "product_id", "demo:persons:h:60", ["p", ["p"]]),
    ]


def test_a_group_has_the_bytes_that_its_dimension_may_take() -> None:
    names = ("product_id", "buyers_product_id", "country", "buyers_device")
    keys = [SketchKey("demo", BucketKind.HOUR, 60, name, "x") for name in names]
    groups: Any = make_payload(Delta([], sketches={key: {b"p"} for key in keys}))["sketches"]
    assert [group[6] // 2**20 for group in groups] == [32, 32, 4, 4]


def test_hourly_sketches_by_product_expire_after_eight_days() -> None:
    keys = [
        SketchKey("demo", kind, 60, *key)
        for kind in (BucketKind.HOUR, BucketKind.DAY)
        for key in (("product_id", "p"), ("", ""))
    ]
    groups: Any = make_payload(Delta([], sketches={key: {b"p"} for key in keys}))["sketches"]
    day_s = 86_400
    assert [(group[1] - 3_600) // day_s for group in groups] == [8 + 1, 60 + 1, 400 + 2, 400 + 2]
    assert [(group[4] - 3_600) // day_s for group in groups] == [60 + 1, 60 + 1, 400 + 2, 400 + 2]


def test_the_payload_has_the_rules_of_its_rollups() -> None:
    payload: Any = make_payload(Delta([], cells={CellsKey("demo", "products", BucketKind.HOUR, 60): {"views": 1}}))
    assert payload["rules"] == {"products": ["views", [[""]]]}
    assert payload["cells"][0][2:] == [100_000, ["views", 1], True, "products"]


@pytest.mark.parametrize("number", [0, 1, 15, 16, 40, PERSONS_LISTED_MAX - 1])
@pytest.mark.parametrize("size", [7, 8])
def test_few_persons_of_a_sketch_are_a_list(number: int, size: int) -> None:
    persons = {f"{n:0{size}}".encode() for n in range(number)}
    groups: Any = make_payload(Delta([], sketches={ALL: persons}))["sketches"]
    assert [sorted(group[5][1]) for group in groups] == ([sorted(map(bytes.decode, persons))] if persons else [])


def test_persons_of_different_length_are_a_list() -> None:
    groups: Any = make_payload(Delta([], sketches={ALL: [b"12345678", b"1", b"12345678"]}))["sketches"]
    assert groups[0][5] == ["", ["12345678", "1", "12345678"]]


def test_many_persons_are_a_hyperloglog() -> None:
    persons = [f"{n:08}".encode() for n in range(PERSONS_LISTED_MAX)]
    sent = encode("g1", Delta([], sketches={ALL: persons}))
    assert b"\xdb" + BYTES.to_bytes(4, "big") + hyperloglog(persons) in sent


@pytest.mark.parametrize("size", [7, 8, 9])
def test_online_is_one_list_of_times_and_persons(size: int) -> None:
    times = {bytes([65 + n]) * size: 2**41 + n for n in range(20)}
    flat = [item for person, at in times.items() for item in (at, person.decode())]
    newest = max(times.values())
    online = [["demo", newest - ONLINE_KEPT_MS, (newest + ONLINE_KEPT_MS) // 1000, flat]]
    assert make_payload(Delta([], online={"demo": times}))["online"] == online
    departures = Delta([], online={"demo": times}, left_online={"demo": [b"old id", b"other id"], "quiet": [b"nobody"]})
    assert make_payload(departures)["online"] == [[*online[0], ["old id", "other id"]]]


def test_all_keys_of_a_shard_share_its_hash_tag() -> None:
    names = [
        redis_keys.make_shard_key(7),
        redis_keys.make_projects_key(7),
        redis_keys.make_stops_key(7),
        redis_keys.make_changes_channel(7),
        redis_keys.make_generation_prefix(7, "g"),
    ]
    assert all(name.startswith("rta:{s07}:") for name in names)
    assert not redis_keys.make_shard_key(1).startswith(redis_keys.make_shard_prefix(10))


def test_places_and_rows_are_read_back() -> None:
    place = PartitionId("AbC-_:x", 12)
    assert redis_keys.read_place(redis_keys.write_place(place)) == place
    row = LedgerRow(5, 4, 1_795_000_000_000, "00ff", 3, 1_795_000_000_001)
    assert read_row(row.to_text()) == row
    assert redis_keys.read_dedup_partition("demo:rta.events.web:3:29916666") == redis_keys.read_dedup_partition(
        "demo:rta.events.web:3"
    )
    assert redis_keys.read_dedup_partition("demo:rta.events.web:3") == "rta.events.web:3"


def test_a_project_is_in_one_of_the_shards() -> None:
    for shards in (1, 2, 3, 16):
        shards_used = {find_shard(f"p{n}", shards) for n in range(300)}
        assert shards_used == set(range(shards))
