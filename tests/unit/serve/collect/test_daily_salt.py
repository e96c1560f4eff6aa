"""The salt lasts a day, is shared where Redis answers, and never fails."""

from __future__ import annotations

import pytest

from rtaplatform.serve.collect.daily_salt import DailySalt
from rtaplatform.serve.http.ticket_vault import DAY_SECONDS


class Values:
    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}
        self.is_away, self.calls = False, 0

    async def get(self, name: str) -> bytes | None:
        return self.stored.get(name)

    async def set(self, name: str, value: bytes, *, ex: int, nx: bool) -> object:
        self.calls += 1
        if self.is_away:
            raise OSError("away")
        return self.stored.setdefault(name, value)

    async def delete(self, name: str) -> object:
        return self.stored.pop(name, None)


async def test_processes_share_it_and_tomorrow_has_another() -> None:
    values, now = Values(), [DAY_SECONDS * 10.0]
    first, two = (DailySalt(values, lambda: now[0]) for _ in range(2))
    today = await first.read()
    assert await two.read() == today
    now[0] += DAY_SECONDS
    assert await two.read() == await first.read() != today


async def test_it_is_read_once_a_day() -> None:
    values = Values()
    salt = DailySalt(values, lambda: 1.0)
    for _ in range(5):
        await salt.read()
    assert values.calls == 1


async def test_without_redis_a_process_has_its_own_until_redis_answers() -> None:
    values, now = Values(), [DAY_SECONDS * 10.0]
    values.is_away = True
    salt = DailySalt(values, lambda: now[0])
    own = await salt.read()
    assert await salt.read() == own
    values.is_away = False
    now[0] += 5
    assert await salt.read() == own
    assert list(values.stored.values()) == [own]


@pytest.mark.parametrize("stored", [b"", b"short"])
async def test_a_value_that_is_no_salt_is_not_used(stored: bytes) -> None:
    values = Values()
    values.stored["rta-limit:visitor-salt:0"] = stored
    assert len(await DailySalt(values, lambda: 1.0).read()) == 32
