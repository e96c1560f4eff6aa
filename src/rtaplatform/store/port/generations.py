"""`GenerationStore`, the port of rebuilds: a second generation is built beside the current one.   Stage 4 of 6."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple, Protocol

from msgspec import Struct

from rtaplatform.core.ledger import PartitionId
from rtaplatform.store.port.apply import Delta, Outcome, ShardState, Torn


class Tombstone(NamedTuple):
    """What takes the place of an erased person's value, and a function that reads an erased value (without its token).

    `list_other_ids` returns the ids, beside its own, under which the person of the value may be in the online set.
    """

    value: bytes
    list_other_ids: Callable[[bytes], Collection[bytes]]


class ErasedKeys(Struct, frozen=True):
    """An erasure record of rta.control. `persons` have 8 bytes each; `upto` is the offset after the record."""

    project: str
    persons: tuple[bytes, ...]
    place: PartitionId
    upto: int
    tombstone: Tombstone


class Switched(Struct, frozen=True):
    """The new generation is the current one now."""


class Behind(Struct, frozen=True):
    """Not switched: the current generation has counted further in these partitions."""

    places: list[PartitionId]


class Replaced(Struct, frozen=True):
    """Not switched: these are the generations that are current and being built, and they are not the expected ones."""

    generation: str
    building: str


SwitchOutcome = Switched | Behind | Replaced | Torn


class GenerationStore(Protocol):
    """The port that rebuilds use, beside the reads of `AggregateStore`. It raises the same errors."""

    def read_building(self, shard: int) -> ShardState | None:
        """Read the generation that is being built; None if there is none."""

    def begin_building(
        self, shard: int, *, expected: str, generation: str, topics: dict[str, str], starts: dict[PartitionId, int]
    ) -> str:
        """Begin to build `generation` if `expected` is being built ("": none). Returns the one being built now.

        `generation` "" only drops the expected one.
        """
        ...

    def build(self, shard: int, generation: str, delta: Delta) -> Outcome:
        """Like `apply`, to the generation being built. No change notification is sent."""

    def erase(self, shard: int, generation: str, erasure: ErasedKeys) -> bool:
        """Put tombstones in the place of persons of the generation being built, and take them out of the online set.

        A record that was handled before is skipped.

        False if another generation is being built.
        """
        ...

    def switch(self, shard: int, *, expected: str, generation: str, lost: dict[PartitionId, str]) -> SwitchOutcome:
        """Make `generation` current in place of `expected`, unless it is behind.

        `lost` has ledger rows whose records the log has lost: they need not be caught up with.
        """
        ...
