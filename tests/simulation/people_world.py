"""Worlds of few people with many devices, whom several workers meet at once: logins in the middle of sessions, links
that come before or after what they unite, late events, servers that tell of days long ago.

Everything lies within what a value takes (24 hours for sessions, 32 days for days) and each device has one user, so
values, totals and who is online must be the oracle's, in whatever order the partitions were read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from rtaplatform.process.fold.job import EcommerceJob, Job
from rtaplatform.process.people.people_fold import PeopleFold
from rtaplatform.simulate.oracle.oracle import ConsumedRecord
from rtaplatform.simulate.oracle.oracle_caps import OracleSeats
from rtaplatform.simulate.shop.records import SimulatedRecord, write_time
from tests.comparison import Totals, compute_expected
from tests.comparison_of_traits import find_wrong_cells, find_wrong_persons, is_of_traits
from tests.simulation.home import PROJECTS, RULES
from tests.simulation.persons import Witness, find_differing, make_key, read_values
from tests.simulation.world import START_MS, World

HOUR, DAY = 3_600_000, 86_400_000
LAST_MS = START_MS + 20 * HOUR
DEVICES = {f"d{n}": f"u{n % 4}" if n < 9 else "" for n in range(12)}
NAMES = ("Product Viewed", "Product Viewed", "Product Added", "Order Completed", "Checkout Started")
ORIGINS: tuple[dict[str, Any], ...] = (
    {}, {"channel": "direct"}, {"channel": "email", "campaign": {"source": "may", "name": "sale"}},
    {"channel": "search", "referrer": {"host": "search.example"}},
)  # fmt: skip
TOPICS = {"web": "rta.events.web", "ios": "rta.events.mobile", "server": "rta.events.server"}


class PeopleWorld(World):
    """`fold` is what the workers count people with; a plant may stand in its place."""

    def __init__(self, seed: int, *, fold: Callable[[], PeopleFold] = PeopleFold, **parts: Any) -> None:
        self.fold = fold
        super().__init__(seed, **parts)
        self.traffic = draw_visits(Random(f"people {seed}"))

    def work_in_turns(self, turns: int) -> None:
        """Nothing goes wrong, but that all workers meet the same people again and again."""
        for turn in range(turns):
            self.arrive()
            self.let_work(turn % len(self.workers))

    def make_job(self) -> Job:
        return EcommerceJob(self.fold())

    def check(self, *, distinct_tolerance: float = 0.0) -> list[str]:
        witness = PeopleWitness(RULES)
        for partition, records in self.broker.records.items():
            for r in records:
                witness.add(ConsumedRecord(*partition, r.offset, r.timestamp_ms, r.key, r.value))
        return witness.find_differences(self.home.read_totals(), self.home.store)


class PeopleWitness(Witness):
    """Compares all that has to do with people, and makes no allowances."""

    def find_differences(self, totals_in_store: Totals, store: Any) -> list[str]:
        totals = compute_expected(self.truth)
        expected_cells, traits, wrong, seats = totals.cells, totals.traits, list[str](), OracleSeats()
        for slug, of in traits.items():
            wrong += find_wrong_cells(totals_in_store.cells, slug, of, seats)
            wrong += find_wrong_persons(totals_in_store.persons, totals_in_store.cells, slug, of, 0.0)
        for name in sorted(expected_cells.keys() | totals_in_store.cells.keys()):
            if is_of_traits(traits, name[0], name[1]):
                continue
            actual, want = (
                {field: n for field, n in cells.get(name, {}).items() if n and not field.startswith("#")}
                for cells in (totals_in_store.cells, expected_cells)
            )
            if actual != want and name[1] != "persons":
                wrong.append(f"{name}: {actual} instead of {want}")
        return wrong + self._find_wrong_online(store) + find_differing(read_values(store), self.find_values())

    def _find_wrong_online(self, store: Any) -> list[str]:
        expected_times = {
            slug: {
                make_key(people.find_canonical(p)): max(v.time for v in visits) for p, visits in people.persons.items()
            }
            for slug, people in self.find_people().items()
        }
        actual_times = {slug: times for shard in store.shards for slug, times in shard.totals.online.items()}
        return [
            f"online in {slug}: {actual_times.get(slug)} instead of {times}"
            for slug, times in expected_times.items()
            if actual_times.get(slug) != times
        ]


def draw_visits(rng: Random) -> Iterator[SimulatedRecord]:
    """Records in no order of time; now and then one is sent again."""
    sent: list[SimulatedRecord] = []
    for number in range(1_000_000):
        if sent and rng.random() < 0.1:
            yield rng.choice(sent[-30:])
            continue
        project, device = rng.choice(PROJECTS).slug, rng.choice(list(DEVICES))
        record = _visit(rng, project, device, number)
        sent.append(record)
        yield record


def _visit(rng: Random, project: str, device: str, number: int) -> SimulatedRecord:
    user, source = DEVICES[device], rng.choice(["web", "web", "web", "ios", "ios", "server"])
    persona = rng.choice(["both", "user", "device", "device", "device"])
    names_user, names_device = bool(user) and persona != "device", not user or persona != "user"
    time_ms = LAST_MS - int(rng.random() ** 2 * 20 * HOUR) // 60_000 * 60_000
    if source == "server":
        time_ms -= rng.randrange(25) * DAY
    if rng.random() < 0.02:
        names_user, user = True, rng.choice(["undefined", "null", "0", " None "])
    message = {
        "projectId": project, "type": "track", "event": rng.choice(NAMES), "messageId": f"m{number}", "source": source,
        "timestamp": write_time(time_ms), "properties": {"product_id": "p-1", "price": 1},
        "context": {
            "location": {"country": rng.choice(["DE", "AT"])}, "device": {"type": "phone"},
            "page": {"path": rng.choice(["/a", "/b", "/c"])}, **rng.choice(ORIGINS),
        },
    }  # fmt: skip
    message |= {"userId": user} if names_user else {}
    message |= {"anonymousId": device} if names_device else {}
    key = f"{project}:{device if names_device else user}".encode()
    return SimulatedRecord(TOPICS[source], key, json.dumps(message).encode(), LAST_MS + 60_000)
