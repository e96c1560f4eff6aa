"""The oracle's erased people: whose events belong to nobody any more (rule 7)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from rtaplatform.simulate.oracle.oracle_people import Id, OracleVisit


class OracleErased:
    """The erased ids of one project. The anonymous ids of an erased user are erased with the user."""

    def __init__(self) -> None:
        self._ids: set[Id] = set()
        self._devices: dict[Id, set[Id]] = defaultdict(set)

    def add(self, user: str, anonymous: Iterable[str]) -> None:
        """Erase a user ("" for none) and anonymous ids."""
        self._ids |= {("a", text) for text in anonymous}
        if user:
            self._ids.add(("u", user))
            self._ids |= self._devices[("u", user)]

    def note(self, visit: OracleVisit) -> None:
        """Note whose anonymous id the visit names: it is erased with its user."""
        if visit.user and visit.anonymous:
            self._devices[visit.user].add(visit.anonymous)

    def without(self, visit: OracleVisit) -> OracleVisit | None:
        """Return the visit as far as somebody is left whose it is; None if nobody is."""
        if visit.user in self._ids or (visit.user is None and visit.anonymous in self._ids):
            return None
        return visit._replace(anonymous=None) if visit.anonymous in self._ids else visit
