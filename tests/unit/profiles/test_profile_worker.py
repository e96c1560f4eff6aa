"""The loop of profiles: what becomes of records that raise an error of ours."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from rtaplatform.core.errors import Unavailable
from rtaplatform.profiles.identify import read_identify
from rtaplatform.profiles.profile_worker import RAISING_MAX, ProfileWorker, read_batch
from rtaplatform.profiles.traits import IdentifyTraits
from rtaplatform.stream.port import LogRecord, Partition

NOW_MS = 1_795_000_000_000


def identify_record(offset: int, user_id: str) -> tuple[LogRecord, int]:
    event = {"projectId": "demo", "type": "identify", "userId": user_id, "traits": {"plan": "free"}}
    value = json.dumps(event).encode()
    return LogRecord(Partition("rta.events.web", 0), offset, NOW_MS, b"k", value, 0, False), NOW_MS


def read_with_bug(record: LogRecord, at_ms: int) -> IdentifyTraits | None:
    if record.value is not None and b"poison" in record.value:
        raise KeyError("a bug")
    return read_identify(record, at_ms)


def read_what_cannot_be_folded(record: LogRecord, at_ms: int) -> IdentifyTraits | None:
    event = read_identify(record, at_ms)
    if event is None or event.user_id != "poison":
        return event
    fields: Any = {"traits.plan": "free", 2: "no text"}
    return IdentifyTraits(event.project, event.user_id, event.stamp, at_ms, fields)


class ShortLog:
    """One batch, then nothing."""

    def __init__(self, records: list[tuple[LogRecord, int]]) -> None:
        self._records = records
        self.commits = 0

    def poll(self) -> list[tuple[LogRecord, int]]:
        records, self._records = self._records, []
        return records

    def commit(self) -> None:
        self.commits += 1


class TakingDatabase:
    """Takes every transaction without running it."""

    async def run(self, work: Any, *, seconds: float) -> Counter[str]:
        return Counter({"applied": 1})


@pytest.mark.parametrize("read", [read_with_bug, read_what_cannot_be_folded])
async def test_a_record_that_raises_is_skipped_and_its_offset_is_committed(read: Any) -> None:
    log = ShortLog([identify_record(0, "a"), identify_record(1, "poison"), identify_record(2, "b")])
    worker = ProfileWorker(log, TakingDatabase(), users_max=10, read=read)  # type: ignore[arg-type]  # all that it calls
    assert await worker.turn() == 3
    assert log.commits == 1


@pytest.mark.parametrize("read", [read_with_bug, read_what_cannot_be_folded])
def test_records_beside_one_that_raises_are_read(read: Any) -> None:
    batch = read_batch([identify_record(0, "a"), identify_record(1, "poison"), identify_record(2, "b")], read)
    assert sorted(user.user_id for user in batch) == ["a", "b"]


def test_where_most_of_many_records_raise_none_is_skipped() -> None:
    poison = [identify_record(offset, "poison") for offset in range(RAISING_MAX + 1)]
    good = [identify_record(RAISING_MAX + 1 + offset, "a") for offset in range(RAISING_MAX + 1)]
    with pytest.raises(KeyError):
        read_batch([*poison, *good[1:]], read_with_bug)
    assert len(read_batch([*poison, *good], read_with_bug)) == 1
    assert read_batch(poison[1:], read_with_bug) == {}


@pytest.mark.parametrize("error", [Unavailable("kafka", "away"), MemoryError(), OSError()])
def test_what_the_machine_or_a_server_raises_skips_no_record(error: Exception) -> None:
    def read(record: LogRecord, at_ms: int) -> IdentifyTraits | None:
        raise error

    with pytest.raises(type(error)):
        read_batch([identify_record(0, "a")], read)
