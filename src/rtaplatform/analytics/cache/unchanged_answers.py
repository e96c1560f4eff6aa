"""Answers kept for as long as a shard's ledger stands still.   Stage 5 of 6: store → [analytics].

In one generation, whatever is read here is written together with a row of the ledger, in one `apply`. So where
generation and ledger are as they were, so is every answer, and a look at the ledger is enough: it is a tenth of a
question's work. Expiry takes buckets without a word, but only such as no question may reach any more.
Hints save the look where something has moved, and are not needed: the ledger decides.
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
    PersonSketches,
    Read,
    ReadBucketLog,
    ReadBuckets,
    ReadFields,
    ReadOnline,
    ReadPersonCounts,
    Snapshot,
)

PROJECTS_MAX = 64
ANSWERS_MAX = 500  # a project
NUMBERS_MAX = 100_000  # of all projects: some 25 MB
NUMBER_BYTES = 250  # with its part of the names and of the dictionaries
FIELDS_MAX = 1_024  # of buckets that were read whole, names and numbers


class UnchangedAnswer(Struct, frozen=True):
    """Where a shard stood, and what was read there: so many numbers."""

    generation: str
    ledger: dict[PartitionId, LedgerRow]
    answers: dict[Read, Any]
    size: int


class UnchangedAnswers:
    """The last moment of each project, of the projects that were asked for last."""

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
        self._known: dict[str, UnchangedAnswer] = {}

    async def recall(self, project: str, reads: Sequence[Read]) -> Snapshot | None:
        """What `read` would answer, without reading; None where something is new, or has moved meanwhile."""
        known = self._known.get(project)
        if known is None or not all(read in known.answers for read in reads):
            return None
        snapshot = await self._reader.read(project, ())
        if _is_at(snapshot, known):
            return replace(snapshot, answers=tuple(known.answers[read] for read in reads))
        if self._known.get(project) is known:
            del self._known[project]
        return None

    async def ask(self, project: str, reads: Sequence[Read]) -> Snapshot:
        return await self.recall(project, reads) or await self.read(project, reads)

    async def read(self, project: str, reads: Sequence[Read]) -> Snapshot:
        """Read, and keep the answers."""
        snapshot = await self._reader.read(project, reads)
        known = self._known.pop(project, None)
        if not snapshot.torn:
            if known is None or not _is_at(snapshot, known):
                known = UnchangedAnswer(snapshot.generation, snapshot.ledger, {}, 0)
            answers, size = dict(known.answers), known.size
            for read, answer in zip(reads, snapshot.answers, strict=True):
                for each, found in _kept(read, answer).items():
                    size += _size(each, found) if each not in answers else 0
                    answers[each] = found
            self._keep(project, UnchangedAnswer(snapshot.generation, snapshot.ledger, answers, size))
        return snapshot

    def touch(self, projects: Container[str] | None) -> None:
        """These projects have probably moved, or any: the look at the ledger would be in vain."""
        for project in [known for known in self._known if projects is None or known in projects]:
            del self._known[project]

    def _keep(self, project: str, moment: UnchangedAnswer) -> None:
        if len(moment.answers) <= self._answers_max and moment.size <= self._numbers_max:
            self._known[project] = moment
        while len(self._known) > self._projects_max or self.size > self._numbers_max:
            del self._known[next(iter(self._known))]
        telemetry.QUERY_KEPT_BYTES.labels("unchanged").set(self.size * NUMBER_BYTES)

    @property
    def size(self) -> int:
        return sum(moment.size for moment in self._known.values())


def _is_at(snapshot: Snapshot, known: UnchangedAnswer) -> bool:
    return not snapshot.torn and snapshot.generation == known.generation and snapshot.ledger == known.ledger


def _size(read: Read, answer: Any) -> int:
    """Its numbers, at most, and the buckets that they are in."""
    match read:
        case ReadFields():
            return len(read.starts) * (1 + len(read.fields or ()))
        case ReadBuckets():
            return sum(1 + len(each.fields) // 2 for each in answer)
        case _:
            return 1 + (len(answer) if isinstance(answer, list) else 0)


def _kept(read: Read, answer: Any) -> dict[Read, Any]:
    """What is known then: that nothing follows what was read; not large buckets, nor what is asked only once."""
    match read:
        case ReadBucketLog(rollup, kind, start) if answer is not None:
            return _nothing_since(rollup, kind, start, answer.position)
        case ReadBuckets(rollup, kind, starts):
            known: dict[Read, Any] = {read: answer} if sum(len(each.fields) for each in answer) <= FIELDS_MAX else {}
            for start, listed in zip(starts, answer, strict=True):
                known |= _nothing_since(rollup, kind, start, listed.position)
            return known
        case ReadBucketLog() | ReadOnline() | ReadPersonCounts() | PersonSketches() | ReadFields(fields=None):
            return {}
        case _:
            return {read: answer}


def _nothing_since(rollup: str, kind: BucketKind, start: int, position: str) -> dict[Read, Any]:
    return {ReadBucketLog(rollup, kind, start, position): BucketContent([], position)} if position else {}
