"""Worlds of people who tell traits of themselves, late, twice, on several devices; and planted bugs of traits.

Some people have one device, whose records all lie in one partition: by their traits every number must be the oracle's.
The others are read from several partitions, whose order nobody knows: of them only the sums must be.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from random import Random
from typing import Any

from rtaplatform.process.decode.commerce import EventCommerce
from rtaplatform.process.decode.declared import DeclaredValues
from rtaplatform.process.decode.fast import DecodedEvent
from rtaplatform.process.fold.person_state import PersonKey, PersonNames
from rtaplatform.process.people.known_traits import TraitReading
from rtaplatform.process.people.people_fold import PeopleBatch
from rtaplatform.process.people.person_value import KnownTrait
from rtaplatform.simulate.shop.records import SimulatedRecord
from tests.comparison import compute_expected
from tests.simulation.people_world import PeopleWorld, draw_visits
from tests.simulation.planted_people import PlantedFold

PLANS: tuple[Any, ...] = ("free", "pro", "team", 7, None, "", ["a"], {"a": 1})
WEB = "rta.events.web"


class TraitsWorld(PeopleWorld):
    """`is_apart`: everybody has one device; else half of the records are of people with several."""

    def __init__(self, seed: int, *, is_apart: bool, **parts: Any) -> None:
        super().__init__(seed, **parts)
        self.traffic = _with_traits(Random(f"traits {seed}"), draw_visits(Random(f"people {seed}")), is_apart=is_apart)

    def open_events(self) -> int:
        """How many events of a day the oracle cannot place."""
        truth = compute_expected(self.recount().truth).traits["other"]
        days = [of for (rollup, kind, _), of in truth.open_events.items() if (rollup, kind) == ("user.plan", "day")]
        return sum(numbers["count"] for numbers in days)


def _with_traits(rng: Random, records: Iterator[SimulatedRecord], *, is_apart: bool) -> Iterator[SimulatedRecord]:
    for record in records:
        message: dict[str, Any] = json.loads(record.value or b"{}")
        device, topic, key = message.get("anonymousId"), record.topic, record.key
        if message["source"] == "server":  # it tells of days long ago: as a visit it would be too late for a session
            if is_apart:
                continue
        elif is_apart or rng.random() < 0.5:
            device = f"h{rng.randrange(6)}"
            message["anonymousId"], message["source"], topic = device, "web", WEB
            message.pop("userId", None)
            if rng.random() < 0.3 and device != "h0":
                message["userId"] = f"user of {device}"
            key = f"{message['projectId']}:{device}".encode()
        if rng.random() < 0.3:
            message["type"] = "identify"
            traits = {name: rng.choice(PLANS) for name in rng.sample(("plan", "country", "other"), 2)}
            if rng.random() < 0.3:
                message["context"]["traits"] = traits
            else:
                message["traits"] = traits
        message["messageId"] += f"{device}"  # a record that is sent again is another one now
        yield SimulatedRecord(topic, key, json.dumps(message).encode(), record.timestamp)


# Planted bugs --------------------------------------------------------------------------------------------------------


class PlantedTraits(PlantedFold):
    """A fold with another reading of traits."""

    reading: type[TraitReading] = TraitReading

    def begin(self, projects: Mapping[str, Any], persons: Any) -> PeopleBatch:
        batch = super().begin(projects, persons)
        batch.trait_reading = self.reading
        return batch


class OlderTraitIsKept(PlantedTraits):
    """What is known of a person stays, whatever a later identify says."""

    class reading(TraitReading):  # noqa: N801
        def _learn(self, key: PersonKey, traits: Iterable[KnownTrait]) -> None:
            names = {trait.name for trait in self.find_traits(key)}
            super()._learn(key, [trait for trait in traits if trait.name not in names])


class LastReadTraitWins(PlantedTraits):
    """An identify that comes late overrides a newer one."""

    class reading(TraitReading):  # noqa: N801
        def _learn(self, key: PersonKey, traits: Iterable[KnownTrait]) -> None:
            newest = max((trait.time_ms for trait in self.find_traits(key)), default=0) + 1
            super()._learn(key, [KnownTrait(t.name, t.text, max(t.time_ms, newest)) for t in traits])


class LinkLeavesTheTraits(PlantedTraits):
    """After a link the device's events count by the traits of nobody but the device."""

    class reading(TraitReading):  # noqa: N801
        def _link(self, event: DecodedEvent) -> None:
            """Nobody is linked."""


class CountedByTheEndOfTheBatch(PlantedTraits):
    """An event counts by an identify that was read after it, if both are in one batch."""

    class reading(TraitReading):  # noqa: N801
        def read(self, events: Iterable[tuple[DecodedEvent, DeclaredValues]]) -> dict[int, DeclaredValues]:
            together = list(events)
            super().read(together)
            return super().read(together)


class VisitorsKeepTheirOldIds(PlantedTraits):
    """Who had another id before is one more visitor of each bucket, long after the link."""

    class batch(PeopleBatch):  # noqa: N801
        def settle(self, orders: Sequence[tuple[DecodedEvent, EventCommerce]] = ()) -> PersonNames:
            names = super().settle(orders)
            names.canonical.clear()
            return names


PLANTS: tuple[type[PlantedTraits], ...] = (
    OlderTraitIsKept, LastReadTraitWins, LinkLeavesTheTraits, CountedByTheEndOfTheBatch, VisitorsKeepTheirOldIds,
)  # fmt: skip
