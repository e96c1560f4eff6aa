"""The form of keys, and the ring's bounds, without PostgreSQL."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from pydantic import SecretStr

from rtaplatform.catalog.keys.key_cache import OVERDUE_SECONDS, UNKNOWN_ENTRIES_MAX, KeyCache
from rtaplatform.catalog.keys.key_format import compute_checksum, hash_key, is_mistyped, make_key, mask_key
from rtaplatform.catalog.keys.key_roster import GUESSES_AT_ONCE_MAX, GUESSES_AT_ONCE_OF_ADDRESS_MAX, read_listed
from rtaplatform.catalog.keys.key_rows import KeyAccess
from rtaplatform.core.errors import Unavailable
from rtaplatform.settings import CatalogSettings

ACCESS = KeyAccess("demo", "prj_1", frozenset({"collect"}), "key_1")
SETTINGS = CatalogSettings(url=SecretStr("postgresql://nowhere"))


class Shelf:
    """A database that knows `known`, or is away."""

    def __init__(self) -> None:
        self.reads, self.away = 0, False
        self.listed = ["known"]
        self.answers = asyncio.Event()
        self.answers.set()

    async def run(self, work: Any, seconds: float = 0) -> KeyAccess | bytes | None:
        self.reads += 1
        is_away = self.away
        await self.answers.wait()
        if is_away:
            raise Unavailable("postgres", "away")
        if work is read_listed:
            return b"".join(sorted(hash_key(key)[:8] for key in self.listed))
        hashed = work.__closure__[0].cell_contents
        return ACCESS if hashed in map(hash_key, ("known", *self.listed)) else None


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def make_ring(shelf: Shelf, clock: Clock) -> KeyCache:
    return KeyCache(shelf, SETTINGS, clock)  # type: ignore[arg-type]  # a fake of one method


@pytest.mark.parametrize(("kind", "letter"), [("write", "w"), ("read", "r"), ("admin", "a")])
def test_key_says_its_kind_and_carries_its_checksum(kind: str, letter: str) -> None:
    key = make_key(kind)
    assert re.fullmatch(rf"rta_{letter}_[A-Za-z0-9_-]{{43}}[0-9A-Za-z]{{6}}", key)
    assert key.endswith(compute_checksum(key[:-6]))
    assert make_key(kind) != key


def test_little_is_shown_of_a_key() -> None:
    key = make_key("write")
    assert mask_key(key) == f"rta_w_…{key[-4:]}"
    assert mask_key("short") == "…"


async def test_entries_are_bounded_and_unknown_keys_go_first() -> None:
    shelf, clock = Shelf(), Clock()
    ring = make_ring(shelf, clock)
    assert await ring.find("known") == ACCESS
    for number in range(UNKNOWN_ENTRIES_MAX + 50):
        assert await ring.find(f"unknown-{number}") is None
    assert len(ring._unknown) == UNKNOWN_ENTRIES_MAX
    reads = shelf.reads
    assert await ring.find("known") == ACCESS
    assert shelf.reads == reads


@pytest.mark.parametrize("pause_s", [1, 7, 29, 50, 60, 61])
async def test_without_notifications_requests_pass_for_less_than_a_minute_after_a_key_is_revoked(pause_s: int) -> None:
    shelf, clock = Shelf(), Clock()
    ring = make_ring(shelf, clock)
    shelf.listed.append("revoked")
    assert await ring.find("revoked") == ACCESS
    shelf.listed.remove("revoked")  # just after it was read, which is the worst moment
    while await ring.find("revoked") is not None:
        assert clock.now < 60
        clock.now += pause_s
        await asyncio.sleep(0)  # a renewal in the background begins
        await asyncio.sleep(0)


def test_the_times_of_a_key_that_is_kept_add_up_to_less_than_a_minute() -> None:
    assert SETTINGS.key_cache_seconds + OVERDUE_SECONDS <= 60


async def test_unknown_key_is_asked_for_again_after_a_few_seconds() -> None:
    shelf, clock = Shelf(), Clock()
    ring = make_ring(shelf, clock)
    for _ in range(3):
        assert await ring.find("unknown") is None
    assert shelf.reads == 1
    clock.now += 6
    await ring.find("unknown")
    assert shelf.reads == 2


async def test_server_that_is_away_is_left_alone_for_a_moment() -> None:
    shelf, clock = Shelf(), Clock()
    ring = make_ring(shelf, clock)
    shelf.away = True
    for _ in range(10):
        with pytest.raises(Unavailable):
            await ring.find("known")
    assert shelf.reads == 1
    clock.now += 2
    shelf.away = False
    assert await ring.find("known") == ACCESS


async def test_look_up_that_has_just_failed_answers_nobody_who_comes_later() -> None:
    shelf, clock = Shelf(), Clock()
    ring = make_ring(shelf, clock)
    await ring.find("known")
    clock.now, shelf.away = 35.0, True
    shelf.answers.clear()
    assert await ring.find("known") == ACCESS  # renewed meanwhile
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_soon(shelf.answers.set)
    await shelf.answers.wait()
    # In this turn of the loop the renewal has ended, and nobody has been told yet.
    clock.now, shelf.away = 1_000.0, False
    assert await ring.find("known") == ACCESS


async def test_a_key_with_a_wrong_checksum_is_never_looked_up() -> None:
    shelf = Shelf()
    ring = make_ring(shelf, Clock())
    key = make_key("write")
    wrong = key[:-1] + ("a" if key[-1] != "a" else "b")
    assert (is_mistyped(key), is_mistyped(wrong), is_mistyped("rta_w_demo"), is_mistyped("theirs")) == (
        False, True, False, False,
    )  # fmt: skip
    assert await ring.find_from("1.2.3.4", wrong, may_guess=True) is None
    assert shelf.reads == 0


async def test_a_wrong_checksum_is_refused_of_a_key_that_is_cached_too() -> None:
    shelf = Shelf()
    ring = make_ring(shelf, Clock())
    key = make_key("write")
    wrong = key[:-1] + ("a" if key[-1] != "a" else "b")
    shelf.listed = [key, wrong]
    assert await ring.find(wrong) == ACCESS  # as an operator's session does
    for _ in range(2):
        assert await ring.find_from("1.2.3.4", key, may_guess=True) == ACCESS
        assert await ring.find_from("1.2.3.4", wrong, may_guess=True) is None


async def test_a_valid_key_passes_where_its_address_has_guessed_all_that_it_may() -> None:
    """Also in a process that has never seen it."""
    shelf, clock = Shelf(), Clock()
    ring = make_ring(shelf, clock)
    shelf.listed = [f"valid-{number}" for number in range(300)]
    for key in shelf.listed:
        assert await ring.find_from("1.2.3.4", key, may_guess=False) == ACCESS
    reads = shelf.reads
    for number in range(100):
        assert await ring.find_from("1.2.3.4", f"guess-{number}", may_guess=False) is None
    assert shelf.reads == reads


async def test_a_key_made_a_moment_ago_is_listed_within_a_second() -> None:
    shelf, clock = Shelf(), Clock()
    ring = make_ring(shelf, clock)
    assert await ring.find_from("1.2.3.4", "guess", may_guess=False) is None
    shelf.listed.append("new")
    ring.note_change(["key_2"])
    clock.now += 1.1
    assert await ring.find_from("1.2.3.4", "new", may_guess=False) == ACCESS
    shelf.listed.append("newer")  # nobody tells: a pooler swallows notifications
    clock.now += 10.1
    assert await ring.find_from("1.2.3.4", "newer", may_guess=False) == ACCESS


async def test_guesses_of_one_address_hold_up_nobody_else() -> None:
    shelf = Shelf()
    ring = make_ring(shelf, Clock())
    shelf.listed = [f"valid-{number}" for number in range(200)]
    shelf.answers.clear()
    guesses = [
        asyncio.create_task(ring.find_from("1.2.3.4", f"guess-{number}", may_guess=True)) for number in range(500)
    ]
    await asyncio.sleep(0)
    others = [
        asyncio.create_task(ring.find_from(address, key, may_guess=True))
        for address in ("1.2.3.4", "5.6.7.8")
        for key in shelf.listed
    ]
    await asyncio.sleep(0)
    assert len(ring._lookups) <= GUESSES_AT_ONCE_OF_ADDRESS_MAX * 2 < GUESSES_AT_ONCE_MAX
    shelf.answers.set()
    assert set(await asyncio.gather(*others)) == {ACCESS}
    outcomes = await asyncio.gather(*guesses, return_exceptions=True)
    assert outcomes.count(None) == GUESSES_AT_ONCE_OF_ADDRESS_MAX
    assert all(outcome is None or isinstance(outcome, Unavailable) for outcome in outcomes)
