"""A small world on one thread: a log, a store, several workers, and everything that can go wrong between them.

A seed decides all. `run` ends with every fault repaired and one healthy worker at the log's end; then
the totals must be those of the oracle, whatever happened on the way.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Any

from rtaplatform.core.errors import Unavailable
from rtaplatform.core.ledger import PartitionId
from rtaplatform.core.values.murmur2 import find_bucket
from rtaplatform.process.fold.job import ECOMMERCE_JOB, Job
from rtaplatform.process.rebuild.rebuild import Rebuild
from rtaplatform.process.worker.limits import WorkerLimits
from rtaplatform.process.worker.poison import Quarantine
from rtaplatform.process.worker.worker import Worker
from rtaplatform.simulate.oracle.oracle import ConsumedRecord
from rtaplatform.simulate.oracle.oracle_caps import OracleSeats
from rtaplatform.simulate.shop.plan import SimulationPlan
from rtaplatform.simulate.shop.records import SimulatedRecord as Sent
from rtaplatform.simulate.traffic import draw_events
from rtaplatform.store.port import Outcome
from rtaplatform.store.redis.shard_lifecycle import find_first_offsets
from rtaplatform.stream.memory import MemoryBroker, MemoryLog
from rtaplatform.stream.port import Partition
from tests.comparison import check_the_law, compute_expected, find_differences
from tests.simulation.faults import Crash, Faults, Writes, start_call
from tests.simulation.home import HALF as HALF
from tests.simulation.home import PROJECTS as PROJECTS
from tests.simulation.home import RULES
from tests.simulation.home import Home as Home
from tests.simulation.home import MemoryHome as MemoryHome
from tests.simulation.loose_records import with_loose_ids
from tests.simulation.order_records import with_orders
from tests.simulation.persons import Witness, find_differing
from tests.simulation.rebuilding import Rebuilds

START_MS = 1_795_000_000_000
TOPICS = {"rta.events.web": 4, "rta.events.mobile": 2, "rta.events.server": 1}
SETTLING_TURNS_MAX = 3_000


@dataclass
class Running:
    worker: Worker
    log: MemoryLog


class World:
    """`steps` random happenings; deterministic in `seed`."""

    topics: Mapping[str, int] = TOPICS
    users = 12  # of each project
    seats: OracleSeats | None = None  # in a bucket; None: as many as there are
    arrivals_max = 16  # records at once
    deaths: tuple[type[BaseException], ...] = (Crash,)  # of a worker
    lateness = 0.5  # calls that happen after they were given up, to those that are lost

    def __init__(
        self,
        seed: int,
        *,
        steps: int = 200,
        fault_rate: float = 0.03,
        start_ms: int = START_MS,
        home: Callable[[int], Home] = MemoryHome,
        worker: type[Worker] = Worker,
        log: type[MemoryLog] = MemoryLog,
        rebuild: type[Rebuild] = Rebuild,
        shards: Sequence[int] = (1, 2, 3),
    ) -> None:
        self.worker, self.log = worker, log
        self.rng = Random(seed)
        self.steps, self.fault_rate = steps, fault_rate
        self.shards = self.rng.choice(shards)
        self.home = home(self.shards)
        self.store = self.home.store
        self.broker = MemoryBroker(self.topics)
        self.call_count = 0
        for shard in range(self.shards):
            self.begin(shard)
        self.past = [self.take_snapshot()]
        self.clock = 0.0
        self.late: list[Callable[[], object]] = []  # calls on their way, whose senders have given up
        self.outcomes: Counter[str] = Counter()  # of `apply`, as the workers were told
        self.busy: set[int] = set()  # workers in the middle of a turn
        self.roll_backs = 0
        self.wrong: list[str] = []  # what was seen on the way and must not be
        self.partitions_were_added = False
        self.seconds_apart = self.rng.choice([0.05, 3.0, 300.0])  # 300: the whole passes days
        self.traffic = draw_traffic(seed, self.rng, self.seconds_apart, start_ms, self.users)
        self.workers = [self.make_worker() for _ in range(3)]
        self.share_out()
        self.rebuilds = Rebuilds(self, rebuild)

    # happenings ------------------------------------------------------------------------------------------------

    def step(self) -> None:
        happenings = self.list_happenings()
        weights = [weight for weight, _ in happenings]
        self.rng.choices([happening for _, happening in happenings], weights)[0]()

    def list_happenings(self) -> list[tuple[float, Callable[[], None]]]:
        """What may happen, and how often beside the others."""
        return [
            (6, self.arrive),
            (12, self.work),
            (1, self.rebalance),
            (0.7, self.overlap),
            (0.7, self.remember),
            (0.5, self.roll_back),
            (0.2, self.lose_a_shard),
            (0.2, self.tear_a_shard),
            (0.7, self.deliver),
            (1.0 if self.late else 0.0, self.roll_back_under_a_call),
            (0.2, self.publish_projects),
            (0.2, self.add_partitions),
            *self.list_more_happenings(),
        ]

    def list_more_happenings(self) -> list[tuple[float, Callable[[], None]]]:
        """What else may happen: totals are built anew."""
        return self.rebuilds.list_happenings()

    def arrive(self) -> None:
        for sent in islice(self.traffic, self.rng.randint(1, self.arrivals_max)):
            partition = Partition(sent.topic, find_bucket(sent.key, self.broker.partitions[sent.topic]))
            self.broker.append(partition, sent.timestamp, sent.key, sent.value)

    def work(self) -> None:
        self.let_work(self.rng.choice([n for n in range(len(self.workers)) if n not in self.busy]))

    def let_work(self, number: int) -> None:
        self.clock += self.rng.choice([0.01, 0.5, 3.0])
        self.busy.add(number)
        try:
            self.workers[number].worker.turn()
        except self.deaths:
            self.replace(number)
        finally:
            self.busy.remove(number)

    def replace(self, number: int) -> None:
        """A worker is gone, and another one begins in its place."""
        owned = self.workers[number].log.read_assignment()[1]
        self.workers[number] = self.make_worker()
        self.workers[number].log.assign(owned)

    def act_meanwhile(self) -> None:
        """One worker has read and not yet written: others write before, or the store goes back."""
        if len(self.busy) == 1:
            acts = [self.arrive, self.work, self.deliver, self.roll_back, self.overlap]
            for act in self.rng.choices(acts, [4, 10, 2, 0.5, 0.5], k=self.rng.randint(1, 5)):
                act()

    def deliver(self) -> None:
        """A call arrives that nobody waits for any more."""
        if self.late:
            with contextlib.suppress(Unavailable):
                self.late.pop(self.rng.randrange(len(self.late)))()

    def operate(self) -> None:
        """What an operator does about what stands still; here nothing need be done."""

    def rebalance(self) -> None:
        self.share_out()

    def overlap(self) -> None:
        """A paused worker that still believes to own everything."""
        self.rng.choice(self.workers).log.assign(self.broker.list_partitions())

    def remember(self) -> None:
        self.past.append(self.take_snapshot())

    def roll_back(self) -> None:
        """The store comes back without its last writes: all shards, or one of them."""
        past = self.rng.choice([self.past[-1], self.rng.choice(self.past)])
        self.roll_backs += 1
        shards = range(self.shards) if self.rng.random() < 0.5 else [self.rng.randrange(self.shards)]
        for shard in shards:
            self.home.restore(shard, past[shard])

    def roll_back_under_a_call(self) -> None:
        """A call arrives at a store that went back meanwhile, and was counted on by others."""
        self.roll_back()
        for _ in range(self.rng.randint(0, 4)):
            self.work()
        self.deliver()

    def lose_a_shard(self) -> None:
        """A shard comes back empty; the operator begins it again from the log's start."""
        shard = self.rng.randrange(self.shards)
        self.home.empty(shard)
        for _ in range(3):
            self.work()
        self.begin(shard)

    def tear_a_shard(self) -> None:
        """A batch was written half; workers must leave it alone until the operator begins it again."""
        shard = self.rng.randrange(self.shards)
        if self.store.read_state(shard) is not None:
            self.home.tear(shard)
            before, roll_backs = self.read_ledger(shard), self.roll_backs
            for _ in range(6):
                self.work()
            if self.read_ledger(shard) != before and self.roll_backs == roll_backs:
                self.wrong.append(f"shard {shard} is torn, and was counted on")
            self.begin_again(shard)

    def publish_projects(self) -> None:
        self.home.touch_projects(f"again {self.rng.random()}")

    def add_partitions(self) -> None:
        topic = self.rng.choice(list(self.topics))
        # Blocks move to another partition then, whose stream time may be a day ahead of a lagging one's.
        if self.broker.partitions[topic] < 16 and self.seconds_apart < 100:
            self.broker.partitions[topic] *= 2
            self.partitions_were_added = True
            self.share_out()

    def read_ledger(self, shard: int) -> dict[PartitionId, str]:
        state = self.store.read_state(shard)
        return state.ledger if state else {}

    def begin_again(self, shard: int) -> None:
        state = self.store.read_state(shard)
        self.begin(shard, expected=state.generation if state else "")

    def begin(self, shard: int, expected: str = "") -> None:
        self.call_count += 1
        topics = dict(self.broker.ids)
        lows = ((PartitionId(topics[p.topic], p.number), low) for p, low in self.broker.low.items())
        starts = find_first_offsets(lows)
        self.store.begin(shard, expected=expected, generation=f"g{self.call_count}", topics=topics, starts=starts)
        self.home.set_projects(f"v{self.call_count}")

    def take_snapshot(self) -> list[Any]:
        return [self.home.take_snapshot(shard) for shard in range(self.shards)]

    def make_worker(self, fault_rate: float | None = None) -> Running:
        batch_max = self.rng.choice([7, 50, 300])
        log = self.log(self.broker, batch_max, portion_max=batch_max // self.rng.choice([1, 1, 2, 4]))
        rate = self.fault_rate if fault_rate is None else fault_rate
        worker = self.worker(
            Faults(log, self.rng, rate),
            Faults(log, self.rng, rate),
            Writes(self.store, self.rng, rate, self),
            shards=self.shards,
            start_call=self.begin_call,
            limits=self.make_limits(),
            job=self.make_job(),
            quarantine=self.quarantine(rate),
            sleep=lambda _: None,
            clock=lambda: self.clock,
        )
        return Running(worker, log)

    def make_limits(self) -> WorkerLimits:
        return WorkerLimits(
            dedup_ids_cached_max=self.rng.choice([10, 100_000]),
            person_values_cached_max=self.rng.choice([3, 100_000]),
            records_waiting_max=self.rng.choice([0, 0, 3, 10_000]),
        )

    def make_job(self) -> Job:
        """What a process counts, workers' and rebuilds'."""
        return ECOMMERCE_JOB

    def quarantine(self, rate: float) -> Quarantine | None:
        """Of a new worker. Here nothing raises."""
        return None

    def begin_call(self, call: Callable[[], Outcome]) -> Callable[[], Outcome]:
        return start_call(call, at_once=self.rng.random() < 0.5)

    def share_out(self) -> None:
        owners = {partition: self.rng.choice(self.workers) for partition in self.broker.list_partitions()}
        for running in self.workers:
            running.log.assign(p for p, owner in owners.items() if owner is running)

    # the end ---------------------------------------------------------------------------------------------------

    def run(self, *, distinct_tolerance: float = 0.0) -> list[str]:
        """Everything that is wrong at the end; empty: all is well."""
        for _ in range(self.steps):
            self.step()
        wrong = self.wrong or self.rebuilds.settle() or self.settle()
        return wrong or self.check(distinct_tolerance=distinct_tolerance)

    def settle(self) -> list[str]:
        healthy = self.make_worker(fault_rate=0.0)
        healthy.log.assign(self.broker.list_partitions())
        for turn in range(SETTLING_TURNS_MAX):
            if turn % 3 == 0:
                self.deliver()
                self.operate()
            healthy = self.act_after_a_turn(healthy)
            self.clock += 0.7
            if not self.late and self.is_at_the_end():
                return []
        return [f"the ledger never reached the log's end; stops: {healthy.worker.positions.stops}"]

    def act_after_a_turn(self, running: Running) -> Running:
        """Let it take a turn. Returns who goes on."""
        running.worker.turn()
        return running

    def is_at_the_end(self) -> bool:
        ends = {
            p: len(records) for p, records in self.broker.records.items() if len(records) > self.broker.low.get(p, 0)
        }
        for shard in range(self.shards):
            ledger = self.store.read_state(shard).ledger
            for partition, end in ends.items():
                row = ledger.get(PartitionId(self.broker.ids[partition.topic], partition.number), "0")
                if int(row.split("|")[0]) != end:
                    return False
        return True

    def check(self, *, distinct_tolerance: float = 0.0) -> list[str]:
        witness = self.recount()
        totals_in_store, expected_totals = self.home.read_totals(), compute_expected(witness.truth)
        for fields in (*totals_in_store.cells.values(), *expected_totals.cells.values()):
            fields.pop("repeated_order", None)  # any report of an order may be the first; `counts` has the sum
        if self.partitions_were_added:
            # Which of two equal records came first, across partitions, is not for us to say.
            for totals in (totals_in_store, expected_totals):
                totals.cells = {name: fields for name, fields in totals.cells.items() if name[1] != "quality"}
        wrong = find_differences(
            totals_in_store, expected_totals, distinct_tolerance=distinct_tolerance, seats=self.seats
        )
        wrong += check_the_law(totals_in_store) + find_differing(self.home.read_values(), witness.find_values())
        dead_letters = set(self.broker.dead_letters)
        wrong += [f"origin {origin} without a dead letter" for origin in sorted(totals_in_store.dead - dead_letters)]
        consumed = sum(n for name, n in totals_in_store.counts.items() if name.endswith("|consumed"))
        total = sum(witness.truth.consumed.values())
        stops = {shard: text for shard in range(self.shards) if (text := self.store.read_stops(shard))}
        wrong += [f"all is well, and yet it says {stops}"] if stops else []
        return wrong + ([] if consumed == total else [f"consumed {consumed} of {total} records"])

    def recount(self) -> Witness:
        return self.fill(Witness(RULES))

    def fill(self, witness: Witness) -> Witness:
        """Let it count the log."""
        for partition, records in self.broker.records.items():
            for r in records:
                witness.add(ConsumedRecord(*partition, r.offset, r.timestamp_ms, r.key, r.value))
        return witness


def draw_traffic(
    seed: int, rng: Random, seconds_apart: float, start_ms: int = START_MS, users: int = 12
) -> Iterator[Sent]:
    """Visitors' records of both projects, many late, repeated, broken or untimed, at a pace that passes days."""
    plans = [
        SimulationPlan(
            project=project.slug, seed=seed, start_ms=start_ms, rate=1 / seconds_apart, users=users, products=12,
            late=0.1, duplicates=0.1, malformed=0.1,
            double_reports=0.0,  # which of two reports counts depends on the order of reading
        )
        for project in PROJECTS
    ]  # fmt: skip
    streams = [
        with_orders(
            with_loose_ids(draw_events(plan), Random(f"{seed} {plan.project}"), seconds_apart),
            plan.project,
            Random(f"orders of {seed} {plan.project}"),
        )
        for plan in plans
    ]
    while True:
        yield next(rng.choice(streams))
