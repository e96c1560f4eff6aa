"""Caches answers of the store for as long as the shard's ledger is unchanged.   Stage 5 of 6: store → [analytics].

Keeps the answers of each project's last snapshot. They are valid while generation and ledger are unchanged, because
each `apply` that changes a total also advances the ledger. Comparing the ledger is one read, a tenth of the work of a
question. (Redis also expires buckets, but only those that no question can reach any more.) Change notifications drop
entries early and so save that read; correctness does not depend on them. The number of projects, of answers per
project, and of numbers in all are bounded; the project that was read least recently is dropped first.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from rtaplatform import telemetry
from rtaplatform.core.ledger import LedgerRow, PartitionId
from rtaplatform.core.time.buckets import BucketKind
from rtaplatform.store.port import (
    AggregateReader,
    BucketContent,
    Read,
    ReadBucketLog,
    ReadBuckets,
    ReadFields,
    ReadOnline,
    ReadPersonCounts,
    ReadPersonSketches,
    Snapshot,
)

PROJECTS_MAX = 64
ANSWERS_MAX = 500  # per project
NUMBERS_MAX = 100_000  # of all projects: some 25 MB
NUMBER_BYTES = 250  # approximately, with its share of names and dictionaries
FIELDS_MAX = 1_024  # names and numbers of buckets that were read whole


class AnswerEntry(Struct, frozen=True):
    """Answers of one generation and ledger. `size` is in numbers."""

    generation: str
    ledger: dict[PartitionId, LedgerRow]
    answers: dict[Read, Any]
    size: int


class UnchangedAnswers:
    """The answers of each project's last snapshot."""

    def __init__(
        self,
        reader: AggregateReader,
        *,
        projects_max: int = PROJECTS_MAX,
        answers_max: int = ANSWERS_MAX,
        numbers_max: int = NUMBERS_MAX,
    ) -> None:
        self._reader = reader
        self._projects_max, self._answers_max, self._numbers_max = projects_max, answers_max, numbers_max
        self._entries: dict[str, AnswerEntry] = {}

    async def recall(self, project: str, reads: Sequence[Read]) -> Snapshot | None:
        """Answer from the cache; None if an answer is not cached or the ledger has advanced."""
        entry = self._entries.get(project)
        if entry is None or not all(read in entry.answers for read in reads):
            return None
        snapshot = await self._reader.read(project, ())
        if _is_unchanged(snapshot, entry):
            return replace(snapshot, answers=tuple(entry.answers[read] for read in reads))
        if self._entries.get(project) is entry:
            del self._entries[project]
        return None

    async def ask(self, project: str, reads: Sequence[Read]) -> Snapshot:
        return await self.recall(project, reads) or await self.read(project, reads)

    async def read(self, project: str, reads: Sequence[Read]) -> Snapshot:
        """Read from the store, and keep the answers."""
        snapshot = await self._reader.read(project, reads)
        entry = self._entries.pop(project, None)
        if not snapshot.torn:
            if entry is None or not _is_unchanged(snapshot, entry):
                entry = AnswerEntry(snapshot.generation, snapshot.ledger, {}, 0)
            answers, size = dict(entry.answers), entry.size
            for read, answer in zip(reads, snapshot.answers, strict=True):
                for kept_read, kept_answer in _select_answers(read, answer).items():
                    size += _count_numbers(kept_read, kept_answer) if kept_read not in answers else 0
                    answers[kept_read] = kept_answer
            self._store_answers(project, AnswerEntry(snapshot.generation, snapshot.ledger, answers, size))
        return snapshot

    def touch(self, projects: Container[str] | None) -> None:
        """Drop these projects, or all if None: their ledgers have probably advanced."""
        for project in [slug for slug in self._entries if projects is None or slug in projects]:
            del self._entries[project]

    def _store_answers(self, project: str, entry: AnswerEntry) -> None:
        if len(entry.answers) <= self._answers_max and entry.size <= self._numbers_max:
            self._entries[project] = entry
        while len(self._entries) > self._projects_max or self.size > self._numbers_max:
            del self._entries[next(iter(self._entries))]
        telemetry.QUERY_KEPT_BYTES.labels("unchanged").set(self.size * NUMBER_BYTES)

    @property
    def size(self) -> int:
        return sum(entry.size for entry in self._entries.values())


def _is_unchanged(snapshot: Snapshot, entry: AnswerEntry) -> bool:
    return not snapshot.torn and snapshot.generation == entry.generation and snapshot.ledger == entry.ledger


def _count_numbers(read: Read, answer: Any) -> int:
    """The greatest possible count of numbers in the answer, plus one per bucket."""
    match read:
        case ReadFields():
            return len(read.starts) * (1 + len(read.fields or ()))
        case ReadBuckets():
            return sum(1 + len(content.fields) // 2 for content in answer)
        case _:
            return 1 + (len(answer) if isinstance(answer, list) else 0)


def _select_answers(read: Read, answer: Any) -> dict[Read, Any]:
    """The answers worth keeping: no large buckets, and nothing that is read only once.

    A bucket's log position is kept in any case: at the same ledger, nothing follows it.
    """
    match read:
        case ReadBucketLog(rollup, kind, start) if answer is not None:
            return _make_empty_log(rollup, kind, start, answer.position)
        case ReadBuckets(rollup, kind, starts):
            is_small = sum(len(content.fields) for content in answer) <= FIELDS_MAX
            answers: dict[Read, Any] = {read: answer} if is_small else {}
            for start, content in zip(starts, answer, strict=True):
                answers |= _make_empty_log(rollup, kind, start, content.position)
            return answers
        case ReadBucketLog() | ReadOnline() | ReadPersonCounts() | ReadPersonSketches() | ReadFields(fields=None):
            return {}
        case _:
            return {read: answer}


def _make_empty_log(rollup: str, kind: BucketKind, start: int, position: str) -> dict[Read, Any]:
    return {ReadBucketLog(rollup, kind, start, position): BucketContent([], position)} if position else {}
