"""The event that ARCHITECTURE.md works through is counted as it says.

The pain: an example that was right when it was written, and taught a format that had been replaced.
"""

from __future__ import annotations

import re

from rtaplatform.core.ledger import read_row
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.sharding import find_shard
from rtaplatform.core.values.murmur2 import find_bucket
from rtaplatform.process.fold.decode_run import decode_run
from rtaplatform.process.fold.dedup import BlockCache, RepeatFilter
from rtaplatform.process.fold.fold import EventFold
from rtaplatform.process.worker.positions import make_row_after
from rtaplatform.store.port import Delta
from rtaplatform.stream.port import LogRecord, Partition, make_columns
from tests.tidy.sources import ROOT

TEXT = (ROOT / "ARCHITECTURE.md").read_text()
PROJECTS = {"demo": ProjectSettings("demo", "Europe/Berlin", "EUR")}
KEY = b"demo:me"


def _record() -> LogRecord:
    match = re.search(r"^\{\"type\": \"track\".*?\}\}$", TEXT, re.M | re.S)
    assert match
    partition = Partition("rta.events.web", find_bucket(KEY, 4))
    return LogRecord(partition, 41, 1_795_000_000_123, KEY, match.group().encode(), 0, True)


def _make_delta(record: LogRecord) -> Delta:
    items = decode_run(make_columns([record]), 0, PROJECTS, 4).items
    cache = BlockCache(10)
    cache.load((item.lookup.block for item in items), lambda names: [b""] * len(names))
    fold = EventFold(PROJECTS, RepeatFilter(cache))
    fold.add(str(record.partition), items)
    return fold.make_delta()


def test_the_ledger_rows_of_the_example_are_those_of_the_code() -> None:
    before, after = re.findall(r"^(?:from|to) +(\d\S+)$", TEXT, re.M)
    record = _record()
    assert read_row(before).next_offset == record.offset
    assert after == make_row_after(record, record.timestamp_ms).to_text()


def test_the_counters_of_the_example_are_those_of_the_code() -> None:
    delta = _make_delta(_record())
    listed = re.findall(r"^c:demo:(\w+):(\w):(\d+) +(\S.*) \+(\d+)$", TEXT, re.M)
    assert listed
    fields = {(key.rollup, str(key.kind), key.start): cell for key, cell in delta.cells.items()}
    for rollup, kind, start, field, number in listed:
        assert fields[rollup, kind, int(start)][field.replace("␟", "\x1f")] == int(number)
    assert [block.name for block in delta.blocks] == re.findall(r"`(demo:rta\.events\.web:\S+)`", TEXT)


def test_the_places_of_the_example_are_those_of_the_code() -> None:
    assert f"partition {find_bucket(KEY, 4)} of 4" in TEXT
    assert f"dedup partition {find_bucket(KEY, 16)} of 16" in TEXT
    assert f"shard {find_shard('demo', 4)} of 4" in TEXT
