"""Who must give way where places are few: whoever holds the most.   Stage 5 of 6, pure.

Everybody may take all places that are free. When none is, a project takes one from the project that holds the most,
if it holds less itself; within a project, keys share in the same way. So nobody is kept out by what others hold, and
nobody has a limit while there is room. The newest place of the holder goes first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeVar

P = TypeVar("P", bound=Hashable)


class ShareHolder(NamedTuple):
    """Who holds a place: a key of a project."""

    project: str
    key: str


class ReclaimedPlace(NamedTuple, Generic[P]):
    """Whether the place is held now, and which places others had to give up for it."""

    is_held: bool
    given_up: list[P]


class FairShares(Generic[P]):
    """Places by their holders. A place may weigh more than one."""

    def __init__(self, weight_max: int) -> None:
        self._weight_max, self._weight = weight_max, 0
        self._projects: Counter[str] = Counter()
        self._keys: dict[str, Counter[str]] = {}
        self._places: dict[ShareHolder, dict[P, int]] = {}
        self._holders: dict[P, ShareHolder] = {}

    def __len__(self) -> int:
        return len(self._holders)

    def take(self, holder: ShareHolder, place: P, weight: int = 1) -> ReclaimedPlace[P]:
        """Hold a place, or let one that is held weigh this."""
        held = self._holders.get(place, holder)
        added = weight - self._places.get(held, {}).get(place, 0)
        given_up: list[P] = []
        while self._weight + added > self._weight_max:
            victim = self._victim_of(held, added, besides=place)
            if victim is None:
                # What was given up on the way stays given up: its holder had too much.
                return ReclaimedPlace(False, given_up)
            given_up.append(victim)
            self.leave(victim)
        self._add(held, place, added)
        return ReclaimedPlace(True, given_up)

    def leave(self, place: P) -> None:
        """Give a place back; one that is held no more is nobody's."""
        holder = self._holders.pop(place, None)
        if holder is None:
            return
        weight = self._places[holder].pop(place)
        self._weight -= weight
        _subtract(self._projects, holder.project, weight)
        _subtract(self._keys[holder.project], holder.key, weight)
        if not self._places[holder]:
            del self._places[holder]
        if not self._keys[holder.project]:
            del self._keys[holder.project]

    def _add(self, holder: ShareHolder, place: P, weight: int) -> None:
        self._weight += weight
        self._projects[holder.project] += weight
        self._keys.setdefault(holder.project, Counter())[holder.key] += weight
        places = self._places.setdefault(holder, {})
        places[place] = places.get(place, 0) + weight
        self._holders[place] = holder

    def _victim_of(self, holder: ShareHolder, weight: int, besides: P) -> P | None:
        """The newest place of who holds the most, if that is more than the asker would hold with one more."""
        if not self._projects:
            return None
        project = max(self._projects, key=self._projects.__getitem__)
        if self._projects[project] <= self._projects[holder.project] + weight:
            project = holder.project
        keys = self._keys.get(project, Counter[str]())
        if not keys:
            return None
        key = max(keys, key=keys.__getitem__)
        if project == holder.project and keys[key] <= keys[holder.key] + weight:
            return None
        return next((one for one in reversed(self._places[ShareHolder(project, key)]) if one != besides), None)


def _subtract(counts: Counter[str], name: str, weight: int) -> None:
    counts[name] -= weight
    if not counts[name]:
        del counts[name]
