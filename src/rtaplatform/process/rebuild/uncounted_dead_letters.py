"""Keeps a rebuild from writing again what live workers have put among the dead letters."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rtaplatform.stream.port import DeadLetter, DeadLetters, Partition


class UncountedDeadLetters:
    """Passes on only dead letters of records that the live generation has not counted. Live workers wrote the rest."""

    def __init__(self, dead_letters: DeadLetters, find_position: Callable[[Partition], int]) -> None:
        self._dead_letters, self._find_counted_offset = dead_letters, find_position
        self._ends: dict[Partition, int] = {}  # the offset up to which they are written; it never goes back

    def quarantine(self, dead_letters: Sequence[DeadLetter]) -> None:
        beyond = [d for d in dead_letters if d.record.offset >= self._ends.get(d.record.partition, 0)]
        for partition in {d.record.partition for d in beyond}:
            self._ends[partition] = max(self._ends.get(partition, 0), self._find_counted_offset(partition))
        new = [d for d in beyond if d.record.offset >= self._ends[d.record.partition]]
        if new:
            self._dead_letters.quarantine(new)
