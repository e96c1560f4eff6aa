"""The oracle: recounts raw records by docs/reference/rules.md, with plain dicts.

Promise: it shares no code with the workers, so that both being wrong in the same way would take two people.
Input: records in the order of their offsets within each partition; the partitions may be mixed in any way, since
every decision rests on the stream time of the record's own partition (a dedup partition lies in one partition).
Limits: it keeps every id and every person in memory; some 300,000 records take seconds, not days of traffic.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, NamedTuple, Protocol

from rtaplatform.simulate.oracle.oracle_calendar import DAY_MS, HOUR_MS, MINUTE_MS, bucket_starts, kept, kept_by_product
from rtaplatform.simulate.oracle.oracle_counting import count
from rtaplatform.simulate.oracle.oracle_event import OracleEvent, read_event
from rtaplatform.simulate.oracle.oracle_json import UnreadableRecord, read_record
from rtaplatform.simulate.oracle.oracle_murmur2 import to_positive
from rtaplatform.simulate.oracle.oracle_truth import Truth

_DEDUP_PARTITIONS = 16
_BLOCK_LIFE_MS = DAY_MS


class Consumed(Protocol):
    """A record as it was read from Kafka."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int | None: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]] | None: ...


class OracleRules(NamedTuple):
    """What the numbers of a project depend on: an IANA time zone and a currency code."""

    zone: str
    currency: str


@dataclass
class _OracleBlock:
    ids: set[str] = field(default_factory=set)
    written: int = 0


def recount(records: Iterable[Consumed], *, projects: Mapping[str, Mapping[str, str]]) -> Truth:
    """Return the truth of these records. `projects`: slug → {zone, currency}."""
    oracle = Oracle(projects)
    for record in records:
        oracle.add(record)
    return oracle.truth


class Oracle:
    """Counts one record at a time; `truth` is right after each."""

    def __init__(self, projects: Mapping[str, Mapping[str, str]]) -> None:
        self.truth = Truth()
        self._rules = {slug: OracleRules(rules["zone"], rules["currency"]) for slug, rules in projects.items()}
        self._stream_times: dict[tuple[str, int], int] = defaultdict(int)
        self._blocks: dict[tuple[Any, ...], _OracleBlock] = defaultdict(_OracleBlock)
        self._loose: dict[tuple[Any, ...], int] = {}  # ids in no block → stream time of their write

    def add(self, record: Consumed) -> None:
        """Count one record as applied, duplicate, late or dead."""
        place = (record.topic, record.partition)
        self.truth.consumed[place] += 1
        self._stream_times[place] = max(self._stream_times[place], record.timestamp or 0)
        now = self._stream_times[place]
        project = ""
        try:
            data = read_record(record.value, collected=_collected(record))
            project = self._project(data)
            event = read_event(data, topic=record.topic, timestamp=record.timestamp, stream_time=now)
        except UnreadableRecord as error:
            self._quarantine(record, project, error.reason, now)
        else:
            self._decide(event, record, project, now)

    def _project(self, data: dict[str, Any]) -> str:
        slug = data.get("projectId")
        if not isinstance(slug, str) or not slug:
            raise UnreadableRecord("missing_project")
        if slug not in self._rules:
            raise UnreadableRecord("unknown_project")
        return slug

    def _quarantine(self, record: Consumed, project: str, reason: str, now: int) -> None:
        self.truth.dead[f"{record.topic}:{record.partition}:{record.offset}"] = reason
        self.truth.projects[project].dead_by_reason[reason] += 1
        self._note(project, "dead", now)

    def _decide(self, event: OracleEvent, record: Consumed, project: str, now: int) -> None:
        if "made_id" in event.marks or not event.message_id:
            self._note(project, "unchecked", now)
        elif self._seen(event, record, project, now):
            self._note(project, "duplicate", now)
            return
        if event.unreadable_time:
            self._note(project, "unreadable_time", now)
        if event.unreadable_amounts:
            self._note(project, "unreadable_amount", now)
        buckets = self._buckets(event, project, now)
        if not buckets:
            self._note(project, "late", now)
            return
        self.truth.projects[project].totals["applied"] += 1
        by_product = [bucket for bucket in buckets if kept_by_product(*bucket, now)]
        count(self.truth.projects[project], event, buckets, self._rules[project].currency, by_product=by_product)

    def _note(self, project: str, what: str, now: int) -> None:
        truth = self.truth.projects[project]
        truth.totals[what] += 1
        zone = self._rules[project].zone if project else "UTC"
        for bucket in bucket_starts(now, zone).items():
            truth.quality[bucket][what] += 1

    def _seen(self, event: OracleEvent, record: Consumed, project: str, now: int) -> bool:
        """Tell whether the id is known where it is looked for, and remember it if not (rule 3)."""
        shard = (project, record.topic, to_positive(record.key or b"") % _DEDUP_PARTITIONS)
        own = event.own_time
        ahead, minute = (inf, None) if own is None else (own - now, own // MINUTE_MS)
        if -72 * HOUR_MS <= ahead <= 26 * HOUR_MS and self._holds((*shard, minute), event.message_id, now):
            return True
        if not -47 * HOUR_MS <= ahead <= HOUR_MS:
            written = self._loose.get((*shard, event.message_id))
            if written is not None and now - written < DAY_MS:
                return True
        if -48 * HOUR_MS <= ahead <= 25 * HOUR_MS:
            self._remember((*shard, minute), event.message_id, now)
        else:
            self._loose[(*shard, event.message_id)] = now
        return False

    def _holds(self, place: tuple[Any, ...], message_id: str, now: int) -> bool:
        block = self._blocks.get(place)
        return block is not None and now - block.written < _BLOCK_LIFE_MS and message_id in block.ids

    def _remember(self, place: tuple[Any, ...], message_id: str, now: int) -> None:
        block = self._blocks[place]
        if now - block.written >= _BLOCK_LIFE_MS:
            block.ids.clear()
        block.ids.add(message_id)
        block.written = now

    def _buckets(self, event: OracleEvent, project: str, now: int) -> list[tuple[str, int]]:
        starts = bucket_starts(event.time, self._rules[project].zone)
        return [(kind, start) for kind, start in starts.items() if kept(kind, start, now)]


def _collected(record: Consumed) -> bool:
    return any(name == "rta-collected" for name, _ in record.headers or ())
