"""Which persons are in which sketch already.   Stage 3 of 6: stream → [process] → store.

Adding a person to a sketch twice changes nothing, and on a busy site almost all of them are there: what is
known need not be sent again. Dropped, like all that a worker keeps, when the ledger is read again.

Two kinds are not remembered: the persons of a product, who seldom come back to it within sight, so that remembering
costs more than it saves; and so many at once that they travel as a sketch.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping

from rtaplatform.core.rollups import PRODUCT_ID
from rtaplatform.store.port import PERSONS_LISTED_MAX, SketchKey


class SketchMemberCache:
    """The persons that one shard's sketches are known to hold; at most so many, the oldest sketches forgotten first.

    With a limit of 0 nothing is remembered, and nothing spent on it.
    """

    def __init__(self, persons_max: int) -> None:
        self._persons_max = persons_max
        self._persons = 0
        self._sketches: OrderedDict[SketchKey, set[bytes]] = OrderedDict()

    def only_new(self, sketches: Mapping[SketchKey, Collection[bytes]]) -> dict[SketchKey, Collection[bytes]]:
        new: dict[SketchKey, Collection[bytes]] = {}
        for key, persons in sketches.items():
            known = self._sketches.get(key) if _is_remembered(key, persons) else None
            missing = persons if known is None else set(persons) - known
            if missing:
                new[key] = missing
        return new

    def accept(self, sketches: Mapping[SketchKey, Collection[bytes]]) -> None:
        """The store has taken these."""
        if not self._persons_max:
            return
        for key, persons in sketches.items():
            if _is_remembered(key, persons):
                self._sketches.setdefault(key, set()).update(persons)
                self._sketches.move_to_end(key)
                self._persons += len(persons)
        while self._persons > self._persons_max:
            _key, gone = self._sketches.popitem(last=False)
            self._persons -= len(gone)

    def clear(self) -> None:
        self._sketches.clear()
        self._persons = 0


def _is_remembered(key: SketchKey, persons: Collection[bytes]) -> bool:
    return key.dimension != PRODUCT_ID and len(persons) < PERSONS_LISTED_MAX
