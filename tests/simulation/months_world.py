"""Months of the simulated world: half a day at a time, several workers read what has come, die and conflict.

At the end the oracle, which knows what came too late, has the same totals, values, counts and answers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any

from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.values.murmur2 import find_bucket
from rtaplatform.process.fold.job import EcommerceJob, Job
from rtaplatform.process.people.people_fold import PeopleFold
from rtaplatform.simulate.oracle.oracle import ConsumedRecord, recount
from rtaplatform.simulate.oracle.oracle_people import OraclePeople
from rtaplatform.simulate.oracle.oracle_truth import Truth
from rtaplatform.simulate.shop.records import SimulatedRecord
from rtaplatform.stream.port import Partition
from tests.comparison import check_the_law, find_differences
from tests.late_people import TakenVisits, compute_expected_with_late, take_visits
from tests.simulation.home import MemoryHome
from tests.simulation.months_of_visits import draw_portions, sort_by_partition
from tests.simulation.persons import Values, find_differing, make_key, read_values
from tests.simulation.world import World

MASK_DAYS = 64  # of which a value keeps the active ones
SITES = (
    ProjectSettings("demo", "Europe/Berlin", "EUR"),
    ProjectSettings("demo", "Australia/Lord_Howe", "AUD", week_start="sunday"),
    ProjectSettings("demo", "Asia/Kathmandu", "NPR", week_start="saturday"),
)


class MonthsHome(MemoryHome):
    """A store of one project."""

    def __init__(self, shards: int, project: ProjectSettings) -> None:
        super().__init__(shards)
        self.project = project

    def set_projects(self, version: str) -> None:
        self.store.set_projects([self.project], version)


class MonthsWorld(World):
    """`too_late`: how many events come too late for their persons. `fold` counts people; a plant may stand in."""

    topics = MappingProxyType({"rta.events.web": 2, "rta.events.mobile": 1, "rta.events.server": 1})

    def __init__(self, seed: int, *, too_late: int, fold: Callable[[], PeopleFold] = PeopleFold) -> None:
        self.fold, self.project = fold, SITES[seed % len(SITES)]
        super().__init__(seed, fault_rate=0.02, shards=(1,), home=lambda shards: MonthsHome(shards, self.project))
        self.portions = draw_portions(seed, too_late=too_late)
        self.coming: deque[SimulatedRecord] = deque()
        self.read_portions: list[list[ConsumedRecord]] = []
        self.past: list[Any] = []  # only now and then there is one: a snapshot takes time

    def make_job(self) -> Job:
        return EcommerceJob(self.fold())

    def run(self, *, distinct_tolerance: float = 0.0) -> list[str]:
        for number, portion in enumerate(self.portions):
            self.past = [] if number % 20 else [self.take_snapshot()]
            self.read_portions.append([])
            self.coming = deque(portion)
            while self.coming or not self.is_at_the_end():
                happenings = [self.arrive, self.work, self.rebalance, self.overlap, self.roll_back, self.deliver]
                self.rng.choices(happenings, [6, 12, 0.3, 0.2, 0.2, 0.7])[0]()
        self.past = []
        return self.settle() or self.check(distinct_tolerance=distinct_tolerance)

    def arrive(self) -> None:
        for _ in range(min(len(self.coming), self.rng.randint(1, self.arrivals_max))):
            sent = self.coming.popleft()
            partition = Partition(sent.topic, find_bucket(sent.key, self.broker.partitions[sent.topic]))
            record = self.broker.append(partition, sent.timestamp, sent.key, sent.value)
            self.read_portions[-1].append(
                ConsumedRecord(*partition, record.offset, record.timestamp_ms, record.key, record.value)
            )

    def roll_back(self) -> None:
        if self.past:
            super().roll_back()

    # the end ---------------------------------------------------------------------------------------------------

    def check(self, *, distinct_tolerance: float = 0.0) -> list[str]:
        truth, totals = self.recount_truth(), self.home.read_totals()
        expected_totals, taken = compute_expected_with_late(truth, "demo")
        wrong = find_differences(totals, expected_totals, distinct_tolerance=distinct_tolerance)
        wrong += find_differing(read_values(self.store), find_values(taken.count_people(truth, "demo")))
        return wrong + check_the_law(totals)

    def recount_truth(self, records: Sequence[ConsumedRecord] | None = None) -> Truth:
        """In the order of arrival, or in another one."""
        rules = {"zone": self.project.zone, "currency": self.project.currency, "week_start": self.project.week_start}
        in_order = [record for portion in self.read_portions for record in portion] if records is None else records
        return recount(in_order, projects={"demo": rules})

    def take_in_other_orders(self) -> list[TakenVisits]:
        """What persons take if the partitions of each half-day are read one by one, from the first or the last."""
        orders = [list(sort_by_partition(self.read_portions, is_reversed=is_reversed)) for is_reversed in (False, True)]
        return [take_visits(self.recount_truth(order), "demo") for order in orders]


def find_values(people: OraclePeople) -> Values:
    values: Values = {}
    for person, visits in people.persons.items():
        days = people.find_days(person)
        kept_days = [day for day in days if (max(days) - day).days < MASK_DAYS]
        values[("demo", make_key(person))] = (visits[0].time, visits[-1].time, len(kept_days))
    return values
