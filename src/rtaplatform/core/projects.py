"""What every stage must know of a project: its time zone, its currency.   Core: no IO."""

from __future__ import annotations

from msgspec import Struct


class ProjectSettings(Struct, frozen=True):
    """What a worker and a reader must know of a project."""

    slug: str
    zone: str = "UTC"
    currency: str = "EUR"
    week_start: str = "monday"

    @property
    def folding(self) -> tuple[str, str]:
        """What folding an event depends on."""
        return self.zone, self.currency
