"""Edge cases of time, people and orders through kills, roll-backs and rebuilds: the oracle's, and then the same.

What each of them is worth is said by unit tests (tests/unit/process). Here all of them go through the workers at once.
"""

from __future__ import annotations

from datetime import datetime
from random import Random
from zoneinfo import ZoneInfo

import pytest

from rtaplatform.core.projects import ProjectSettings
from tests.simulation.edge_cases import draw_edge_cases, list_events
from tests.simulation.months_world import MonthsHome
from tests.simulation.persons import Witness
from tests.simulation.test_rebuild import make_digest
from tests.simulation.world import World

RECORDS_MAX = 300
EDGES = (
    ("Europe/Berlin", "monday", (2026, 3, 29, 3, 0)),  # the clock has gone forward
    ("Europe/Berlin", "tuesday", (2026, 10, 25, 2, 30)),  # an hour that comes twice
    ("Europe/Berlin", "wednesday", (2026, 11, 22, 0, 0)),
    ("Australia/Lord_Howe", "thursday", (2026, 4, 5, 1, 30)),  # half an hour that comes twice
    ("Australia/Lord_Howe", "friday", (2026, 10, 4, 2, 30)),
    ("Asia/Kathmandu", "saturday", (2026, 11, 22, 0, 0)),
    ("UTC", "sunday", (2028, 2, 29, 0, 0)),  # a leap day begins
    ("America/Sao_Paulo", "monday", (2028, 3, 1, 0, 0)),  # and one has ended
)


class EdgeWorld(World):
    """A world of one project, whose log has the edge cases and nothing else."""

    def __init__(self, seed: int, project: ProjectSettings, edge_ms: int) -> None:
        self.project = project
        super().__init__(seed, home=lambda shards: MonthsHome(shards, project), start_ms=edge_ms)
        self.traffic = draw_edge_cases(edge_ms, Random(f"edges {seed}"))

    def settle(self) -> list[str]:
        """Nothing is left out."""
        for _ in range(RECORDS_MAX):
            self.arrive()
        return super().settle()

    def recount(self) -> Witness:
        project = self.project
        rules = {"zone": project.zone, "currency": project.currency, "week_start": project.week_start}
        return self.fill(Witness({"demo": rules}))


def find_ms(zone: str, moment: tuple[int, int, int, int, int]) -> int:
    return int(datetime(*moment, tzinfo=ZoneInfo(zone)).timestamp() * 1_000)


@pytest.mark.parametrize("seed_of_edges", range(3))
@pytest.mark.parametrize(("zone", "week_start", "moment"), EDGES)
def test_edge_cases_are_the_oracles_and_the_same_when_rebuilt(
    zone: str, week_start: str, moment: tuple[int, int, int, int, int], seed_of_edges: int
) -> None:
    world = EdgeWorld(seed_of_edges, ProjectSettings("demo", zone, "EUR", week_start=week_start), find_ms(zone, moment))
    wrong = world.run()
    assert not wrong, f"{len(wrong)} differences, the first:\n" + "\n".join(wrong[:20])
    live = [make_digest(shard.totals, world.partitions_were_added) for shard in world.store.shards]
    assert world.rebuilds.finish(world.rebuilds.make_rebuild(fault_rate=0.0)) == []
    assert [make_digest(shard.totals, world.partitions_were_added) for shard in world.store.shards] == live
    assert world.home.read_totals().counts["demo|applied"] == len(list_events())
