"""The events of a file: in the order of their times, each once, and sent on from where it stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from rtaplatform.collect.body.draft import CollectedRecord
from rtaplatform.core.errors import Unavailable
from rtaplatform.history.export_files import TOOLS
from rtaplatform.history.replay import PORTION_EVENTS_MAX, replay_history
from rtaplatform.history.spool import EventSpool

HOUR_MS = 3_600_000


@pytest.fixture
def spool() -> Iterator[EventSpool]:
    new_spool = EventSpool("demo", "import:abc:1")
    yield new_spool
    new_spool.close()


def fill(spool: EventSpool, tmp_path: Path, *rows: str) -> None:
    path = tmp_path / "export.csv"
    path.write_text("timestamp,user_id,event\n" + "\n".join(rows) + "\n")
    spool.fill(path, TOOLS["csv"], lambda _: None)


def test_records_are_in_the_order_of_their_times_which_are_kafka_s(spool: EventSpool, tmp_path: Path) -> None:
    fill(spool, tmp_path, "2026-11-03,u,c", "2026-11-01,u,a", "2026-11-02,u,b")
    records = list(spool.replay(0))
    values = [json.loads(record.value) for record in records]
    assert [value["event"] for value in values] == ["a", "b", "c"]
    assert [value["messageId"] for value in values] == ["import:abc:1:3:0", "import:abc:1:4:0", "import:abc:1:2:0"]
    assert [record.timestamp_ms for record in records] == [1793491200000 + n * 24 * HOUR_MS for n in range(3)]
    assert [json.loads(record.value)["event"] for record in spool.replay(2)] == ["c"]


def test_every_row_is_an_event_or_a_fault(spool: EventSpool, tmp_path: Path) -> None:
    fill(spool, tmp_path, "2026-11-03,u,c", "soon,u,a", "2026-11-03,,b", "2019-01-01,u,old", "2026-11-03")
    assert (spool.rows, len(spool), spool.late, spool.fault_count) == (5, 2, 1, 3)
    assert [fault.line for fault in spool.faults] == [3, 4, 6]
    assert [fault.reason.split(":")[0] for fault in spool.faults] == [
        "The row has no time that can be read.", "missing_identity", "1 cells, but the header has 3.",
    ]  # fmt: skip


class FailingLog:
    """Fails at its n-th call, as Kafka does that is away."""

    def __init__(self, fails_at: int) -> None:
        self.fails_at, self.calls, self.portions = fails_at, 0, list[int]()

    async def append(self, records: Sequence[CollectedRecord]) -> None:
        self.calls += 1
        if self.calls == self.fails_at:
            raise Unavailable("kafka", "away")
        self.portions.append(len(records))


def make_records(times_ms: Sequence[int]) -> list[CollectedRecord]:
    return [CollectedRecord("t", b"k", b"v", time_ms, 1) for time_ms in times_ms]


@pytest.mark.parametrize("fails_at", [1, 2, 3])
async def test_what_was_noted_is_not_sent_again(fails_at: int) -> None:
    records, noted = make_records([0] * (2 * PORTION_EVENTS_MAX + 5)), [0]

    async def note(sent: int) -> None:
        noted.append(sent)

    log = FailingLog(fails_at)
    with pytest.raises(Unavailable):
        await replay_history(iter(records), 0, log, note)
    assert noted[-1] == (fails_at - 1) * PORTION_EVENTS_MAX
    assert await replay_history(iter(records[noted[-1] :]), noted[-1], log, note) == len(records)
    assert sum(log.portions) == len(records)


async def test_a_portion_is_no_longer_than_half_a_day_of_history() -> None:
    async def note(_: int) -> None: ...

    log = FailingLog(0)
    await replay_history(iter(make_records([n * 5 * HOUR_MS for n in range(7)])), 0, log, note)
    assert log.portions == [3, 3, 1]
