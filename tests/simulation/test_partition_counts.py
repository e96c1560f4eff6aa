"""Topics whose number of partitions does not divide the dedup partitions: they stop, and all others are counted.

With such a number one dedup partition lies in several partitions, one of which forgets ids that decide in another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rtaplatform.core.errors import SetupError
from rtaplatform.simulate.oracle.oracle import ConsumedRecord
from tests.simulation.home import RULES
from tests.simulation.persons import Witness
from tests.simulation.world import World

WEB = "rta.events.web"
COUNTS = (3, 6, 12)


class UnevenWorld(World):
    """`partitions` of the web's topic, and what every world has."""

    def __init__(self, seed: int, partitions: int, **kinds: Any) -> None:
        self.topics = {WEB: partitions, "rta.events.mobile": 2, "rta.events.server": 1}
        super().__init__(seed, **kinds)

    def list_more_happenings(self) -> list[tuple[float, Callable[[], None]]]:
        return []  # a rebuild refuses: see below

    def add_partitions(self) -> None:
        """None: what has stopped is to stay so."""

    def is_at_the_end(self) -> bool:
        all_records = self.broker.records
        self.broker.records = {p: records for p, records in all_records.items() if p.topic != WEB}
        try:
            return super().is_at_the_end()
        finally:
            self.broker.records = all_records

    def recount(self) -> Witness:
        """Of what is counted."""
        witness = Witness(RULES)
        for partition, records in self.broker.records.items():
            for r in records if partition.topic != WEB else ():
                witness.add(ConsumedRecord(*partition, r.offset, r.timestamp_ms, r.key, r.value))
        return witness

    def list_stops(self) -> set[str]:
        return {f"{what}: {why.partition(':')[0]}" for what, why in self.store.read_stops(0).items()}


@pytest.mark.parametrize("partitions", COUNTS)
@pytest.mark.parametrize("number", range(4))
def test_they_stop_and_nothing_of_them_is_counted(number: int, partitions: int) -> None:
    world = UnevenWorld(number, partitions)
    wrong = world.run()
    assert [line for line in wrong if "and yet it says" not in line] == [], f"seed {number}"
    assert world.list_stops() == {f"{WEB}:{number}: partitions" for number in range(partitions)}
    assert not any(place.topic_id == world.broker.ids[WEB] for place in world.read_ledger(0))


@pytest.mark.parametrize("partitions", COUNTS)
def test_a_rebuild_refuses_them(partitions: int) -> None:
    world = UnevenWorld(1, partitions, fault_rate=0.0)
    for _ in range(5):
        world.arrive()
    with pytest.raises(SetupError, match=f"partitions: {WEB} has {partitions}"):
        world.rebuilds.finish(world.rebuilds.make_rebuild())
