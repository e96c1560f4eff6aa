"""The settings of a project that every stage needs: its time zone, its currency.   Pure."""

from __future__ import annotations

from msgspec import Struct

SLUG = "[a-z0-9][a-z0-9_-]{0,62}"  # a regular expression: the `projectId` of events


class ProjectSettings(Struct, frozen=True):
    """The settings of a project that workers and readers need.

    `event_properties` and `user_traits` are declared as dimensions.
    """

    slug: str
    zone: str = "UTC"
    currency: str = "EUR"
    week_start: str = "monday"
    event_properties: tuple[str, ...] = ()
    user_traits: tuple[str, ...] = ()

    @property
    def folding(self) -> tuple[object, ...]:
        """The settings that folding depends on."""
        return self.zone, self.currency, self.event_properties, self.user_traits
