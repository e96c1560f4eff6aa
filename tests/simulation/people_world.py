"""Worlds of few people with many devices, whom several workers meet at once: logins in the middle of sessions, links
that come before or after what they unite, late events, servers that tell of days long ago.

Everything lies within what a value takes (24 hours for sessions, 32 days for days) and each device has one user, so
values, totals and who is online must be the oracle's, in whatever order the partitions were read.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any

from rtaplatform.core.values.ids import persons_of
from rtaplatform.process.fold.job import EcommerceJob, Job
from rtaplatform.process.people.people_fold import PeopleFold
from rtaplatform.process.people.person_value import Person, decode_value
from rtaplatform.simulate.oracle.oracle import Oracle
from rtaplatform.simulate.oracle.oracle_event import OracleEvent
from rtaplatform.simulate.oracle.oracle_people import Id, OraclePeople, OraclePersonRules, OracleVisit
from rtaplatform.simulate.shop.records import SimulatedRecord, iso
from tests.comparison import KIND, CellName, Totals, expected
from tests.simulation.home import PROJECTS
from tests.simulation.world import START_MS, Kept, World

HOUR, DAY = 3_600_000, 86_400_000
LAST_MS = START_MS + 20 * HOUR
DEVICES = {f"d{n}": f"u{n % 4}" if n < 9 else "" for n in range(12)}
NAMES = ("Product Viewed", "Product Viewed", "Product Added", "Order Completed", "Checkout Started")
TOPICS = {"web": "rta.events.web", "ios": "rta.events.mobile", "server": "rta.events.server"}


class PeopleWorld(World):
    """`fold` is what the workers count people with; a plant may stand in its place."""

    def __init__(self, seed: int, *, fold: Callable[[], PeopleFold] = PeopleFold, **parts: Any) -> None:
        self.fold = fold
        super().__init__(seed, **parts)
        self.traffic = visits(Random(f"people {seed}"))

    def work_in_turns(self, turns: int) -> None:
        """Nothing goes wrong, but that all workers meet the same people again and again."""
        for turn in range(turns):
            self.arrive()
            self.work_of(turn % len(self.workers))

    def job(self) -> Job:
        return EcommerceJob(self.fold())

    def check(self, *, distinct_tolerance: float = 0.0) -> list[str]:
        witness = PeopleWitness({p.slug: {"zone": p.zone, "currency": p.currency} for p in PROJECTS})
        for partition, records in self.broker.records.items():
            for r in records:
                witness.add(Kept(*partition, r.offset, r.timestamp_ms, r.key, r.value))
        return witness.differences(self.home.held(), self.home.store)


class PeopleWitness(Oracle):
    """The oracle, which also writes down who was where."""

    def __init__(self, projects: Mapping[str, Mapping[str, str]]) -> None:
        super().__init__(projects)
        self.visits: dict[str, list[OracleVisit]] = defaultdict(list)

    def _kept_buckets(self, event: OracleEvent, project: str, now: int) -> list[tuple[str, int]]:
        buckets = super()._kept_buckets(event, project, now)
        if buckets and not any(mark.startswith("bot:") for mark in event.marks):
            country, device = ("" if text == "(none)" else text for text in (event.country, event.device))
            user, anonymous = (event.person, event.linked) if event.person[0] == "u" else (None, event.person)
            self.visits[project].append(
                OracleVisit(event.time, event.track, (event.source, country, device), user, anonymous)
            )
        return buckets

    def people(self) -> dict[str, OraclePeople]:
        zones = {project.slug: project.zone for project in PROJECTS}
        return {slug: OraclePeople(visits, OraclePersonRules(zones[slug])) for slug, visits in self.visits.items()}

    def cells(self) -> dict[CellName, dict[str, int]]:
        return {
            (slug, rollup, KIND[kind], start): fields
            for slug, people in self.people().items()
            for (rollup, kind, start), fields in people.cells().items()
        }

    def differences(self, found: Totals, store: Any) -> list[str]:
        wanted = {**expected(self.truth).cells, **self.cells()}
        wrong = []
        for name in sorted(wanted.keys() | found.cells.keys()):
            got, want = (
                {field: n for field, n in cells.get(name, {}).items() if n and not field.startswith("#")}
                for cells in (found.cells, wanted)
            )
            if got != want and name[1] != "persons":
                wrong.append(f"{name}: {got} instead of {want}")
        return wrong + self._wrong_online(store) + self._wrong_values(store)

    def _wrong_online(self, store: Any) -> list[str]:
        wanted = {
            slug: {_key(people.canonical_of(p)): max(v.time for v in visits) for p, visits in people.persons.items()}
            for slug, people in self.people().items()
        }
        found = {slug: seen for shard in store.shards for slug, seen in shard.totals.online.items()}
        return [
            f"online in {slug}: {found.get(slug)} instead of {seen}"
            for slug, seen in wanted.items()
            if found.get(slug) != seen
        ]

    def _wrong_values(self, store: Any) -> list[str]:
        """Each person has one value, with the right first and last time and the days within the mask."""
        held = {key: decode_value(value[8:]) for shard in store.shards for key, value in shard.totals.persons.items()}
        found = {key: (v.first_ms, v.newest_ms, v.mask.bit_count()) for key, v in held.items() if isinstance(v, Person)}
        wanted = {
            (slug, _key(person)): (visits[0].time, visits[-1].time, len(people.days_of(person)))
            for slug, people in self.people().items()
            for person, visits in people.persons.items()
        }
        return [
            f"{key}: {found.get(key)} instead of {value}" for key, value in wanted.items() if found.get(key) != value
        ] + [f"{key} is nobody" for key in found.keys() - wanted.keys()]


def visits(rng: Random) -> Iterator[SimulatedRecord]:
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
    who = rng.choice(["both", "user", "device", "device", "device"])
    names_user, names_device = bool(user) and who != "device", not user or who != "user"
    time_ms = LAST_MS - int(rng.random() ** 2 * 20 * HOUR) // 60_000 * 60_000
    if source == "server":
        time_ms -= rng.randrange(25) * DAY
    if rng.random() < 0.02:
        names_user, user = True, rng.choice(["undefined", "null", "0", " None "])
    message = {
        "projectId": project, "type": "track", "event": rng.choice(NAMES), "messageId": f"m{number}", "source": source,
        "timestamp": iso(time_ms), "properties": {"product_id": "p-1", "price": 1},
        "context": {"location": {"country": rng.choice(["DE", "AT"])}, "device": {"type": "phone"}},
    }  # fmt: skip
    message |= {"userId": user} if names_user else {}
    message |= {"anonymousId": device} if names_device else {}
    key = f"{project}:{device if names_device else user}".encode()
    return SimulatedRecord(TOPICS[source], key, json.dumps(message).encode(), LAST_MS + 60_000)


def _key(person: Id) -> bytes:
    space, text = person
    return persons_of(text if space == "u" else None, () if space == "u" else (text,))[0]
