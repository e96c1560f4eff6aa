"""A generation that is built beside the one that is read; `GenerationStore`, which rebuilds need.   Stage 4 of 6."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from rtaplatform.core.ledger import PartitionId
from rtaplatform.store.port.apply import Delta, Outcome, ShardState, Torn


class ErasedKeys(Struct, frozen=True):
    """A record of rta.control: these persons (8 bytes each) are forgotten. `upto`: the next offset of its partition."""

    project: str
    persons: tuple[bytes, ...]
    place: PartitionId
    upto: int


class Switched(Struct, frozen=True):
    """The generation that was built is the one that is read now."""


class Behind(Struct, frozen=True):
    """Not switched: the one that is read has counted more in these places."""

    places: list[PartitionId]


class Replaced(Struct, frozen=True):
    """Not switched: another generation is read, or another one is being built."""

    generation: str
    building: str


SwitchOutcome = Switched | Behind | Replaced | Torn


class GenerationStore(Protocol):
    """What a rebuild needs. Errors as of `AggregateStore`, whose `state` and other reads it needs too."""

    def building(self, shard: int) -> ShardState | None:
        """The generation that is being built; None where there is none."""

    def begin_building(
        self, shard: int, *, expected: str, generation: str, topics: dict[str, str], starts: dict[PartitionId, int]
    ) -> str:
        """Begin to build in place of `expected` ("": none); "" only drops that. Returns what is being built now."""

    def build(self, shard: int, generation: str, delta: Delta) -> Outcome:
        """`apply` to the generation that is being built. Nobody is told."""

    def erase(self, shard: int, generation: str, erasure: ErasedKeys) -> bool:
        """Take persons out of what is built, once: what was read up to there before is passed over.

        False where another one is built.
        """
        ...

    def switch(self, shard: int, *, expected: str, generation: str, gone: dict[PartitionId, str]) -> SwitchOutcome:
        """Read what was built, in place of `expected`, if it is not behind; `gone`: rows whose records the log lost."""
