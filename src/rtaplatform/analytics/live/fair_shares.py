"""Fair shares of a limited number of places: the largest holder gives way.   Stage 5 of 6, pure.

While there are free places, everybody may take as many as they want. When all are taken, a project takes one from the
project that holds the most, if it holds less itself. Within a project the keys share in the same way. So no holder can
keep others out. Of the places of the largest holder the newest is given up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeVar

P = TypeVar("P", bound=Hashable)


class ShareHolder(NamedTuple):
    """The holder of a place: a key of a project."""

    project: str
    key: str


class ReclaimedPlace(NamedTuple, Generic[P]):
    """Whether the place was taken, and which places others had to give up for it."""

    is_held: bool
    given_up: list[P]


class FairShares(Generic[P]):
    """Places and their holders. A place may have a weight above one."""

    def __init__(self, weight_max: int) -> None:
        self._weight_max, self._weight = weight_max, 0
        self._projects: Counter[str] = Counter()
        self._keys: dict[str, Counter[str]] = {}
        self._places: dict[ShareHolder, dict[P, int]] = {}
        self._holders: dict[P, ShareHolder] = {}

    def __len__(self) -> int:
        return len(self._holders)

    def list_places(self) -> list[P]:
        """Return all places that are taken."""
        return list(self._holders)

    def take(self, holder: ShareHolder, place: P, weight: int = 1) -> ReclaimedPlace[P]:
        """Take a place, or give a place that is taken this weight."""
        owner = self._holders.get(place, holder)
        addition = weight - self._places.get(owner, {}).get(place, 0)
        given_up: list[P] = []
        while self._weight + addition > self._weight_max:
            victim = self._choose_victim(owner, addition, exclude=place)
            if victim is None:
                # Places already given up stay given up: their holders had too many.
                return ReclaimedPlace(False, given_up)
            given_up.append(victim)
            self.leave(victim)
        self._add(owner, place, addition)
        return ReclaimedPlace(True, given_up)

    def leave(self, place: P) -> None:
        """Give a place back. Does nothing if it is not taken."""
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

    def _choose_victim(self, holder: ShareHolder, weight: int, exclude: P) -> P | None:
        """Choose the newest place of the largest holder, if it has more than `holder` would have with `weight` more."""
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
        return next((place for place in reversed(self._places[ShareHolder(project, key)]) if place != exclude), None)


def _subtract(counts: Counter[str], name: str, weight: int) -> None:
    counts[name] -= weight
    if not counts[name]:
        del counts[name]
