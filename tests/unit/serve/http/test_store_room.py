"""Where the store is nearly full, large projects wait and small ones go on; while there is room, nobody is limited."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from litestar.exceptions import TooManyRequestsException

from rtaplatform.core.errors import Unable, Unavailable
from rtaplatform.serve.http.limits import COLLECT, GUARANTEED_PORTIONS, RateLimits
from rtaplatform.serve.http.store_room import EVENT_BYTES_MAX, SHARE_MIN, RoomSample, StoreRoom, watch_room
from rtaplatform.settings import LimitSettings

GB = 1_000_000_000
BEGIN = 1_000_000_800.0  # the begin of an hour


def make_sample(part: float) -> RoomSample:
    return RoomSample(int(part * 4 * GB), 4 * GB)


def make_limits(room: StoreRoom, now: float = BEGIN, **settings: int) -> RateLimits:
    return RateLimits(LimitSettings(**settings), now=lambda: now, room=room)  # type: ignore[arg-type]  # pydantic reads them


async def count_passing(limits: RateLimits, project: str, requests: int, cost: int = 1) -> int:
    passed = 0
    for _ in range(requests):
        with suppress(TooManyRequestsException):
            await limits.take_for_key(COLLECT, f"key of {project}", project, cost)
            passed += cost
    return passed


@pytest.mark.parametrize(
    ("part", "share"), [(0.0, None), (0.849, None), (0.85, 1.0), (0.925, 0.5), (0.9999, SHARE_MIN), (1.2, SHARE_MIN)]
)
def test_less_room_means_fewer_events_for_each_project(part: float, share: float | None) -> None:
    room = StoreRoom()
    room.note(make_sample(part))
    assert room.share == (None if share is None else pytest.approx(share))


def test_a_store_without_a_limit_of_memory_is_never_full() -> None:
    room = StoreRoom()
    room.note(RoomSample(900 * GB, 0))
    assert room.share is None


def test_events_that_wait_take_their_part_of_the_room() -> None:
    room = StoreRoom()
    room.note(RoomSample(1 * GB, 4 * GB, counted=0, waiting=0))
    # 300 bytes an event, as measured: what waits will take 2.7 GB.
    room.note(RoomSample(1 * GB + 3_000_000, 4 * GB, counted=10_000, waiting=9_000_000))
    assert room.filled_percent == 93
    assert room.share is not None
    # The same number of ordinary events takes next to nothing.
    ordinary = StoreRoom()
    ordinary.note(RoomSample(1 * GB, 4 * GB, counted=0, waiting=0))
    ordinary.note(RoomSample(1 * GB + 100_000, 4 * GB, counted=10_000, waiting=9_000_000))
    assert ordinary.share is None


@pytest.mark.parametrize("counted", [0, 999, -50_000])
def test_few_events_give_no_estimate(counted: int) -> None:
    room = StoreRoom()
    room.note(RoomSample(1 * GB, 4 * GB, counted=60_000, waiting=0))
    room.note(RoomSample(2 * GB, 4 * GB, counted=60_000 + counted, waiting=9_000_000))
    assert room.filled_percent == 50


def test_the_estimate_per_event_has_an_upper_limit() -> None:
    room = StoreRoom()
    room.note(RoomSample(1 * GB, 4 * GB, counted=0, waiting=0))
    room.note(RoomSample(2 * GB, 4 * GB, counted=2_000, waiting=1_000_000))
    assert room.filled_percent == round((2 * GB + 1_000_000 * EVENT_BYTES_MAX) / (4 * GB) * 100)


async def test_with_room_left_no_project_is_limited() -> None:
    limits = make_limits(StoreRoom(), guaranteed_events_per_hour=1_000)
    assert await count_passing(limits, "large", 50, cost=100) == 5_000


async def test_a_nearly_full_store_is_kept_for_the_small() -> None:
    room = StoreRoom()
    limits = make_limits(room, guaranteed_events_per_hour=1_000)
    await count_passing(limits, "large", 20, cost=100)
    await count_passing(limits, "small", 10)
    room.note(make_sample(0.86))
    assert await count_passing(limits, "large", 20) == 0
    assert await count_passing(limits, "small", 20) == 20
    assert await count_passing(limits, "new", 20, cost=100) == 900, "what is guaranteed, less what room is gone already"
    room.note(make_sample(0.7))
    assert await count_passing(limits, "large", 20, cost=100) == 2_000


async def test_small_projects_go_on_and_each_hour_begins_anew() -> None:
    room = StoreRoom()
    room.note(make_sample(1.0))
    limits = make_limits(room, guaranteed_events_per_hour=100_000)
    assert await count_passing(limits, "small", 900) == 900
    assert await count_passing(limits, "large", 20, cost=100) == 100_000 * SHARE_MIN
    later = make_limits(room, now=BEGIN + 3_600, guaranteed_events_per_hour=100_000)
    assert await count_passing(later, "large", 20, cost=100) == 100_000 * SHARE_MIN


async def test_a_refusal_says_why_and_asks_to_come_back_soon() -> None:
    room = StoreRoom()
    room.note(make_sample(0.9))
    limits = make_limits(room, now=BEGIN + 60, guaranteed_events_per_hour=30)
    await count_passing(limits, "large", 100)
    with pytest.raises(
        TooManyRequestsException, match=r"nearly full \(90 %\).*may send 20 events in an hour"
    ) as caught:
        await limits.take_for_key(COLLECT, "key", "large")
    assert caught.value.headers is not None
    assert caught.value.headers["Retry-After"] == "60"
    assert caught.value.headers["RateLimit-Remaining"] == "0"


async def test_a_guarantee_of_zero_turns_the_limit_off() -> None:
    room = StoreRoom()
    room.note(make_sample(0.99))
    assert await count_passing(make_limits(room, guaranteed_events_per_hour=0), "large", 20, cost=100) == 2_000


class Shared:
    """A Redis that counts its calls."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.calls = 0

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        self.calls += 1
        self.counts[key] = self.counts.get(key, 0) + amount
        return self.counts[key]


async def test_processes_count_a_project_together_with_few_calls() -> None:
    room, shared = StoreRoom(), Shared()
    settings = LimitSettings(guaranteed_events_per_hour=10_000, collect_events_per_minute=0, project_events_per_hour=0)
    limits_of_processes = [RateLimits(settings, shared, lambda: BEGIN, room) for _ in range(2)]
    for limits in limits_of_processes:
        assert await count_passing(limits, "large", 60, cost=100) == 6_000
    assert shared.calls <= 120
    calls = shared.calls
    for limits in limits_of_processes:
        assert await count_passing(limits, "large", 500, cost=100) == 50_000
    assert shared.calls - calls <= 2 + GUARANTEED_PORTIONS // 100, (
        "who has had all that is guaranteed is not counted on"
    )
    room.note(make_sample(0.9))
    for limits in limits_of_processes:
        assert await count_passing(limits, "large", 5) == 0
        assert await count_passing(limits, "small", 5) == 5


async def test_health_shows_a_nearly_full_store_as_degraded() -> None:
    room = StoreRoom()
    await room.check()
    room.note(make_sample(0.9))
    with pytest.raises(Unable, match=r"store: nearly full: 3,600 of 4,000 MB are used, .* makes 90 %"):
        await room.check()


async def test_the_last_sample_holds_while_the_store_is_unavailable() -> None:
    room, answers, was_asked = StoreRoom(), [make_sample(0.9), Unavailable("redis", "away")], asyncio.Event()

    async def look() -> RoomSample:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Unavailable):
            was_asked.set()
            raise answer
        assert isinstance(answer, RoomSample)
        return answer

    watching = asyncio.create_task(watch_room(room, look, every_seconds=0))
    await asyncio.wait_for(was_asked.wait(), 10)
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
    assert room.share is not None
