"""Loose ids: the ids of events without an own time, or with one far from stream time.   Stage 3 of 6.

Loose ids are in no block. An event may name any minute of a century, so a block would often be read for a single id.
Instead the store keeps them one by one, each with the stream time of its write, in one set per project, topic and dedup
partition. A worker reads only the ids of its batch, and `apply` compares each with what was read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from msgspec import structs

from rtaplatform.store.port import LooseIdQuery, LooseWrite

ABSENT = -1  # in place of the stream time of a write, if the id is not stored
LooseKey = tuple[str, int]  # set, id
FetchLoose = Callable[[LooseIdQuery], list[list[int]]]


class LooseIds:
    """When the loose ids of a shard's open batch were written. Nothing is kept for the next batch."""

    def __init__(self) -> None:
        self._read: dict[LooseKey, int] = {}
        self._times_sent: dict[LooseKey, int] = {}  # what the previous batch has written; its call may be in flight

    def __len__(self) -> int:
        return len(self._read) + len(self._times_sent)

    def list_missing(self, keys: Iterable[LooseKey]) -> list[LooseKey]:
        return [key for key in dict.fromkeys(keys) if key not in self._read]

    def load(self, keys: Iterable[LooseKey], fetch: FetchLoose) -> None:
        """Fetch those of these ids that are missing, in one call for all sets."""
        ids_by_set: dict[str, list[int]] = {}
        for name, identity in self.list_missing(keys):
            ids_by_set.setdefault(name, []).append(identity)
        if not ids_by_set:
            return
        times = fetch(
            [(name, [identity.to_bytes(8, "little") for identity in ids]) for name, ids in ids_by_set.items()]
        )
        for (name, ids), set_times in zip(ids_by_set.items(), times, strict=True):
            for identity, written_ms in zip(ids, set_times, strict=True):
                # The store may have answered before or after the call in flight took effect. Either way this is the
                # value once that call has succeeded; if it fails, nothing here is kept.
                self._read[(name, identity)] = self._times_sent.get((name, identity), written_ms)

    def __getitem__(self, key: LooseKey) -> int:
        """The stream time of the id's last write, or ABSENT."""
        return self._read[key]

    def accept(self, writes: Iterable[LooseWrite]) -> None:
        """The batch is sent: begin the next one, for which these ids are as this batch wrote them."""
        self._read, self._times_sent = {}, {}
        for write in writes:
            for identity, written_ms in zip(write.ids, write.written_ms, strict=True):
                if written_ms != ABSENT:
                    self._times_sent[(write.name, int.from_bytes(identity, "little"))] = written_ms

    def clear(self) -> None:
        self._read, self._times_sent = {}, {}


def fetch_no_loose_ids(query: LooseIdQuery) -> list[list[int]]:
    """The answer of a store that has none of these ids."""
    return [[ABSENT] * len(ids) for _, ids in query]


def make_loose_writes(times_read: Mapping[LooseKey, int], times_written: Mapping[LooseKey, int]) -> list[LooseWrite]:
    """One write for each set: all ids that a batch has read, to be compared, and when it wrote them."""
    sets: dict[str, LooseWrite] = {}
    for key, expected_ms in times_read.items():
        name, identity = key
        write = sets.get(name)
        if write is None:
            write = sets[name] = LooseWrite(name, [], [], [])
        write.ids.append(identity.to_bytes(8, "little"))
        write.expected_ms.append(expected_ms)
        write.written_ms.append(times_written.get(key, ABSENT))
    return list(sets.values())


def blank_expired(writes: Iterable[LooseWrite], expiries: Mapping[str, int]) -> list[LooseWrite]:
    """Only compare ids that would expire at once, instead of writing them. `expiries`: `Delta.expired_blocks`."""
    return [
        structs.replace(w, written_ms=_blank_expired_times(w.written_ms, _find_expired_ms(w.name, expiries)))
        for w in writes
    ]


def _find_expired_ms(name: str, expiries: Mapping[str, int]) -> int:
    _project, topic, dedup_partition = name.split(":")
    return expiries.get(f"{topic}:{dedup_partition}", -1)


def _blank_expired_times(times_ms: Iterable[int], expired_ms: int) -> list[int]:
    return [time_ms if time_ms > expired_ms else ABSENT for time_ms in times_ms]
