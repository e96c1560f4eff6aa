"""Loose ids: the ids of events without an own time, or with one far from stream time.   Stage 3 of 6.

Loose ids are in no block. An event may name any minute of a century, so a block would often be read for a single id.
Instead the store keeps them one by one, each with the stream time of its write, in one set per project, topic and dedup
partition. A worker reads only the ids of its batch, and `apply` compares each with what was read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from msgspec import structs

from rtaplatform.store.port import LooseAsked, LooseWrite

ABSENT = -1  # instead of the stream time of a write: there is none
LooseKey = tuple[str, int]  # set, id
FetchLoose = Callable[[LooseAsked], list[list[int]]]


class LooseIds:
    """When the ids that the open batch of a shard asks about were written. Nothing is kept for the next one."""

    def __init__(self) -> None:
        self._read: dict[LooseKey, int] = {}
        self._sent: dict[LooseKey, int] = {}  # what the batch before has written: its call may be under way

    def __len__(self) -> int:
        return len(self._read) + len(self._sent)

    def missing(self, keys: Iterable[LooseKey]) -> list[LooseKey]:
        return [key for key in dict.fromkeys(keys) if key not in self._read]

    def load(self, keys: Iterable[LooseKey], fetch: FetchLoose) -> None:
        """Make sure that these are here: what is missing is fetched in one call, for all sets."""
        asked: dict[str, list[int]] = {}
        for name, identity in self.missing(keys):
            asked.setdefault(name, []).append(identity)
        if not asked:
            return
        found = fetch([(name, [identity.to_bytes(8, "little") for identity in ids]) for name, ids in asked.items()])
        for (name, ids), written in zip(asked.items(), found, strict=True):
            for identity, at in zip(ids, written, strict=True):
                # Whether the store was asked before the call under way had its effect or after it, this is what it has
                # when the next one comes; if that call fails, nothing here is kept.
                self._read[(name, identity)] = self._sent.get((name, identity), at)

    def __getitem__(self, key: LooseKey) -> int:
        """The stream time of its last write, or ABSENT."""
        return self._read[key]

    def accept(self, writes: Iterable[LooseWrite]) -> None:
        """The batch is sent: the next one begins, and finds these as they were written."""
        self._read, self._sent = {}, {}
        for write in writes:
            for identity, at in zip(write.ids, write.written_ms, strict=True):
                if at != ABSENT:
                    self._sent[(write.name, int.from_bytes(identity, "little"))] = at

    def clear(self) -> None:
        self._read, self._sent = {}, {}


def none_of(asked: LooseAsked) -> list[list[int]]:
    """What a store says that has none of them."""
    return [[ABSENT] * len(ids) for _, ids in asked]


def as_writes(expected: Mapping[LooseKey, int], written: Mapping[LooseKey, int]) -> list[LooseWrite]:
    """All that a batch has read, to be compared, with what it has written: one for each set."""
    sets: dict[str, LooseWrite] = {}
    for key, expected_ms in expected.items():
        name, identity = key
        write = sets.get(name)
        if write is None:
            write = sets[name] = LooseWrite(name, [], [], [])
        write.ids.append(identity.to_bytes(8, "little"))
        write.expected_ms.append(expected_ms)
        write.written_ms.append(written.get(key, ABSENT))
    return list(sets.values())


def loose_without_expired(writes: Iterable[LooseWrite], expired: Mapping[str, int]) -> list[LooseWrite]:
    """What would be forgotten at once is not written; it is still compared. `expired`: as of `Delta`."""
    return [structs.replace(w, written_ms=_unexpired(w.written_ms, _expired_ms(w.name, expired))) for w in writes]


def _expired_ms(name: str, expired: Mapping[str, int]) -> int:
    _project, topic, dedup_partition = name.split(":")
    return expired.get(f"{topic}:{dedup_partition}", -1)


def _unexpired(written_ms: Iterable[int], expired_ms: int) -> list[int]:
    return [at if at > expired_ms else ABSENT for at in written_ms]
