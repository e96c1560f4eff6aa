"""Members that a sketch is known to have are not sent again; some kinds of sketches are not remembered."""

from __future__ import annotations

from collections.abc import Collection

from rtaplatform.core.time.buckets import BucketKind
from rtaplatform.process.fold.sketch_members import SketchMemberCache
from rtaplatform.store.port import PERSONS_LISTED_MAX, SketchKey

ALL = SketchKey("demo", BucketKind.HOUR, 60, "", "")
WEB = SketchKey("demo", BucketKind.HOUR, 60, "source", "web")
SHOE = SketchKey("demo", BucketKind.HOUR, 60, "product_id", "shoe")


def persons(first: int, end: int) -> set[bytes]:
    return {number.to_bytes(8, "big") for number in range(first, end)}


def sent(known: SketchMemberCache, sketches: dict[SketchKey, Collection[bytes]]) -> dict[SketchKey, set[bytes]]:
    """What of a batch goes to the store, which takes it."""
    new = known.select_new(sketches)
    known.accept(new)
    return {key: set(members) for key, members in new.items()}


def test_known_members_are_not_sent_again() -> None:
    known = SketchMemberCache(1_000)
    assert sent(known, {ALL: persons(0, 5), WEB: persons(0, 2)}) == {ALL: persons(0, 5), WEB: persons(0, 2)}
    assert sent(known, {ALL: persons(3, 7), WEB: persons(0, 2)}) == {ALL: persons(5, 7)}


def test_persons_of_products_and_very_many_persons_are_not_remembered() -> None:
    known, crowd = SketchMemberCache(100_000), persons(0, PERSONS_LISTED_MAX)
    for _ in range(2):
        assert sent(known, {SHOE: persons(0, 3), ALL: crowd}) == {SHOE: persons(0, 3), ALL: crowd}
    assert sent(known, {ALL: persons(0, 3)}) == {ALL: persons(0, 3)}


def test_the_oldest_sketches_are_dropped_first() -> None:
    known = SketchMemberCache(8)
    sent(known, {ALL: persons(0, 5)})
    sent(known, {WEB: persons(0, 5)})
    assert sent(known, {WEB: persons(0, 5), ALL: persons(0, 5)}) == {ALL: persons(0, 5)}
    known.clear()
    assert sent(known, {ALL: persons(0, 5)}) == {ALL: persons(0, 5)}
    nothing = SketchMemberCache(0)
    assert sent(nothing, {ALL: persons(0, 5)}) == sent(nothing, {ALL: persons(0, 5)}) == {ALL: persons(0, 5)}
