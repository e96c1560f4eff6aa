"""Which persons are in which sketch already.   Stage 3 of 6: stream → [process] → store.

Adding a person to a sketch twice changes nothing. On a busy site most persons of a batch are in the sketch already, so
they need not be sent again. This cache is dropped, like all of a worker's caches, when the ledger is read again.

Two kinds of sketches are not remembered. Persons of a product or a page seldom return to it soon, so remembering them
costs more than it saves. And very many persons at once are sent as a sketch anyway.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping

from rtaplatform.core.rollups import PAGE, PRODUCT_ID
from rtaplatform.store.port import PERSONS_LISTED_MAX, SketchKey


class SketchMemberCache:
    """The persons that one shard's sketches are known to hold: at most `persons_max`, oldest dropped first.

    With a limit of 0 nothing is remembered.
    """

    def __init__(self, persons_max: int) -> None:
        self._persons_max = persons_max
        self._persons = 0
        self._sketches: OrderedDict[SketchKey, set[bytes]] = OrderedDict()

    def select_new(self, sketches: Mapping[SketchKey, Collection[bytes]]) -> dict[SketchKey, Collection[bytes]]:
        new: dict[SketchKey, Collection[bytes]] = {}
        for key, persons in sketches.items():
            members = self._sketches.get(key) if _is_remembered(key, persons) else None
            new_persons = persons if members is None else set(persons) - members
            if new_persons:
                new[key] = new_persons
        return new

    def accept(self, sketches: Mapping[SketchKey, Collection[bytes]]) -> None:
        """Remember these persons, which the batch adds."""
        if not self._persons_max:
            return
        for key, persons in sketches.items():
            if _is_remembered(key, persons):
                self._sketches.setdefault(key, set()).update(persons)
                self._sketches.move_to_end(key)
                self._persons += len(persons)
        while self._persons > self._persons_max:
            _key, members = self._sketches.popitem(last=False)
            self._persons -= len(members)

    def clear(self) -> None:
        self._sketches.clear()
        self._persons = 0


def _is_remembered(key: SketchKey, persons: Collection[bytes]) -> bool:
    return key.dimension not in (PRODUCT_ID, PAGE) and len(persons) < PERSONS_LISTED_MAX
