"""Members that a sketch is known to have are not sent again; some kinds of sketches are not remembered."""

from __future__ import annotations

from collections.abc import Collection

from rtaplatform.core.time.buckets import BucketKind
from rtaplatform.process.fold.sketch_members import SketchMemberCache
from rtaplatform.store.port import PERSONS_LISTED_MAX, SketchKey

ALL = SketchKey("demo", BucketKind.HOUR, 60, "", "")
WEB = SketchKey("demo", BucketKind.HOUR, 60, "source", "web")
SHOE = SketchKey("demo", BucketKind.HOUR, 60, "product_id", "shoe")


def make_persons(first: int, end: int) -> set[bytes]:
    return {number.to_bytes(8, "big") for number in range(first, end)}


def send_new(cache: SketchMemberCache, sketches: dict[SketchKey, Collection[bytes]]) -> dict[SketchKey, set[bytes]]:
    """What of a batch goes to the store, which takes it."""
    new = cache.select_new(sketches)
    cache.accept(new)
    return {key: set(members) for key, members in new.items()}


def test_known_members_are_not_sent_again() -> None:
    cache = SketchMemberCache(1_000)
    assert send_new(cache, {ALL: make_persons(0, 5), WEB: make_persons(0, 2)}) == {
        ALL: make_persons(0, 5),
        WEB: make_persons(0, 2),
    }
    assert send_new(cache, {ALL: make_persons(3, 7), WEB: make_persons(0, 2)}) == {ALL: make_persons(5, 7)}


def test_persons_of_products_and_very_many_persons_are_not_remembered() -> None:
    cache, crowd = SketchMemberCache(100_000), make_persons(0, PERSONS_LISTED_MAX)
    for _ in range(2):
        assert send_new(cache, {SHOE: make_persons(0, 3), ALL: crowd}) == {SHOE: make_persons(0, 3), ALL: crowd}
    assert send_new(cache, {ALL: make_persons(0, 3)}) == {ALL: make_persons(0, 3)}


def test_the_oldest_sketches_are_dropped_first() -> None:
    cache = SketchMemberCache(8)
    send_new(cache, {ALL: make_persons(0, 5)})
    send_new(cache, {WEB: make_persons(0, 5)})
    assert send_new(cache, {WEB: make_persons(0, 5), ALL: make_persons(0, 5)}) == {ALL: make_persons(0, 5)}
    cache.clear()
    assert send_new(cache, {ALL: make_persons(0, 5)}) == {ALL: make_persons(0, 5)}
    nothing = SketchMemberCache(0)
    assert (
        send_new(nothing, {ALL: make_persons(0, 5)})
        == send_new(nothing, {ALL: make_persons(0, 5)})
        == {ALL: make_persons(0, 5)}
    )
