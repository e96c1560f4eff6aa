"""The faults that can be done to a site: each a context manager that does it, and undoes it at the end.

What is written into the history there is what is surely so: a server is `down` from when it answers nobody until it
is started or goes on again.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from random import Random
from typing import Any, NamedTuple

import psutil

from rtaplatform.local.supervisor.child_process import ChildProcess
from tests.chaos.site import WORKERS, Site
from tests.integration.chaos import wait_until

CUTS = 12
CUT_BYTES_MAX = 64 << 10
REPLY_BYTES_MAX = 40  # the reply to a write of ours has about a dozen

Act = Callable[[Site, Random], AbstractContextManager[None]]


class Kind(NamedTuple):
    """`share`: how many of 40 faults are of it; `seconds`: how long it lasts, from and to.

    `from_calm`: it waits until all is in before, so that nothing else can explain what is said during it.
    """

    act: Act
    share: int
    seconds: tuple[float, float]
    from_calm: bool = False


@contextmanager
def kill_worker(site: Site, rng: Random) -> Iterator[None]:
    number = rng.randrange(WORKERS)
    site.workers[number].kill()
    yield
    site.start_worker(number)


@contextmanager
def kill_all_workers(site: Site, _rng: Random) -> Iterator[None]:
    for worker in site.workers:
        worker.kill()
    yield
    for number in range(WORKERS):
        site.start_worker(number)


@contextmanager
def kill_rebuild(site: Site, _rng: Random) -> Iterator[None]:
    """Of one that has counted something; it is started again, and must go on with that."""
    remains = site.rebuilds.kill()
    yield
    site.rebuilds.go_on(remains)


@contextmanager
def kill_valkey(site: Site, _rng: Random) -> Iterator[None]:
    with site.history.rewinding():
        site.valkey.kill()
        with site.history.noting_server_down("redis"):
            yield
        site.valkey.start()


@contextmanager
def kill_kafka(site: Site, _rng: Random) -> Iterator[None]:
    site.kafka.kill()
    with site.history.noting_server_down("kafka"):
        yield
    site.kafka.start()


@contextmanager
def lose_the_tail(site: Site, rng: Random) -> Iterator[None]:
    """Valkey is killed, and comes back without the last bytes of what it had written: often half of a batch."""
    with site.history.rewinding():
        site.valkey.kill()
        with site.history.noting_server_down("redis"):
            last = site.find_file_written_by_valkey()
            size = last.stat().st_size
            with last.open("r+b") as file:
                file.truncate(size - rng.randint(0, min(CUT_BYTES_MAX, max(0, size - site.begun_bytes))))
            yield
        site.valkey.start()


# frozen ----------------------------------------------------------------------------------------------------------


@contextmanager
def _freezing(*processes: ChildProcess) -> Iterator[None]:
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    for process in processes:
        wait_until(lambda process=process: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED, "a stop")
    try:
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)


@contextmanager
def freeze_worker(site: Site, rng: Random) -> Iterator[None]:
    """Past its session's end: its partitions go to another, and then it goes on with what it holds."""
    with _freezing(rng.choice(site.workers)):
        yield


@contextmanager
def freeze_all_workers(site: Site, _rng: Random) -> Iterator[None]:
    with _freezing(*site.workers):
        yield


@contextmanager
def freeze_valkey(site: Site, _rng: Random) -> Iterator[None]:
    with _freezing(site.valkey.process), site.history.noting_server_down("redis"):
        yield


@contextmanager
def freeze_kafka(site: Site, _rng: Random) -> Iterator[None]:
    with _freezing(site.kafka.process), site.history.noting_server_down("kafka"):
        yield


# connections -----------------------------------------------------------------------------------------------------


def cut(server: str) -> Act:
    """Connections are closed, and new ones refused."""

    @contextmanager
    def act(site: Site, _rng: Random) -> Iterator[None]:
        site.links[server].cut()
        yield
        site.links[server].mend()

    return act


def make_slow(server: str) -> Act:
    @contextmanager
    def act(site: Site, rng: Random) -> Iterator[None]:
        latency = rng.randint(100, 800)
        with site.links[server].poisoning("latency", latency=latency, jitter=latency // 2):
            yield

    return act


def make_silent(server: str) -> Act:
    """Nothing comes through any more, and nobody is told."""

    @contextmanager
    def act(site: Site, rng: Random) -> Iterator[None]:
        with site.links[server].poisoning("timeout", stream=rng.choice(["upstream", "downstream"]), timeout=0):
            yield

    return act


def reset(server: str) -> Act:
    @contextmanager
    def act(site: Site, rng: Random) -> Iterator[None]:
        with site.links[server].poisoning("reset_peer", timeout=rng.choice([0, 50])):
            yield

    return act


def cut_replies(server: str, bytes_max: int) -> Act:
    """Again and again the connection ends within a reply: whether the write was done, nobody can tell."""

    @contextmanager
    def act(site: Site, rng: Random) -> Iterator[None]:
        for _ in range(CUTS):
            with site.links[server].poisoning("limit_data", bytes=rng.randint(0, bytes_max)):
                time.sleep(rng.uniform(0.05, 0.2))
            time.sleep(rng.uniform(0.1, 0.4))
        yield

    return act


# no room ---------------------------------------------------------------------------------------------------------


@contextmanager
def reach_memory_limit(site: Site, _rng: Random) -> Iterator[None]:
    with ExitStack() as closing:
        valkey = closing.enter_context(site.connect_as_admin())
        limit = valkey.config_get("maxmemory")["maxmemory"]
        refused = _count_refused(valkey)

        def is_refusing() -> bool:
            valkey.config_set("maxmemory", valkey.info("memory")["used_memory"])
            return _count_refused(valkey) > refused

        wait_until(is_refusing, "a write refused for want of memory")
        yield
        valkey.config_set("maxmemory", limit)


def _count_refused(valkey: Any) -> int:
    errors: dict[str, int] = valkey.info("errorstats").get("errorstat_OOM", {"count": 0})
    return int(errors["count"])


@contextmanager
def fill_disk_of_valkey(site: Site, _rng: Random) -> Iterator[None]:
    with site.connect_as_admin() as valkey:
        site.disks["valkey"].fill()
        wait_until(lambda: valkey.info("persistence")["aof_last_write_status"] == "err", "a full disk")
        site.valkey.server.maintain()  # as the supervisor does
        yield
        site.disks["valkey"].free()
        wait_until(lambda: valkey.info("persistence")["aof_last_write_status"] == "ok", "a disk with room")
        site.valkey.server.maintain()
        wait_until(lambda: not valkey.info("persistence")["aof_rewrite_in_progress"], "a file without a hole")


@contextmanager
def fill_disk_of_kafka(site: Site, _rng: Random) -> Iterator[None]:
    """The broker ends; it is started again when there is room, as a supervisor would."""
    site.disks["kafka"].fill()
    wait_until(lambda: not site.kafka.process.is_alive(), "the end of a broker on a full disk", 60)
    with site.history.noting_server_down("kafka"):
        yield
    site.disks["kafka"].free()
    site.kafka.start()


# What is done while totals are counted again, once in a round of 40: each of these finds a rebuild that has counted
# something and is not at its end.
OVER_A_REBUILD = (
    "kill rebuild", "kill rebuild", "kill rebuild", "kill worker", "kill valkey", "kill kafka", "lose the tail",
    "replies of valkey cut",
)  # fmt: skip

KINDS: dict[str, Kind] = {
    "kill worker": Kind(kill_worker, 7, (0.0, 1.0)),
    "kill all workers": Kind(kill_all_workers, 1, (0.0, 2.0)),
    "kill rebuild": Kind(kill_rebuild, 3, (0.0, 1.0)),
    "kill valkey": Kind(kill_valkey, 6, (0.0, 1.0)),
    "kill kafka": Kind(kill_kafka, 3, (0.0, 1.0)),
    "kill valkey for a while": Kind(kill_valkey, 1, (4.0, 6.0)),
    "lose the tail": Kind(lose_the_tail, 2, (0.0, 0.5)),
    "freeze worker": Kind(freeze_worker, 2, (7.5, 9.0)),
    "freeze all workers": Kind(freeze_all_workers, 1, (15.0, 17.0), from_calm=True),
    "freeze valkey": Kind(freeze_valkey, 1, (7.0, 9.0)),
    "freeze kafka": Kind(freeze_kafka, 1, (7.0, 9.0)),
    "cut from valkey": Kind(cut("valkey"), 1, (0.5, 3.0)),
    "cut from kafka": Kind(cut("kafka"), 1, (0.5, 3.0)),
    "slow to valkey": Kind(make_slow("valkey"), 1, (3.0, 5.0)),
    "slow to kafka": Kind(make_slow("kafka"), 1, (3.0, 5.0)),
    "silent to valkey": Kind(make_silent("valkey"), 1, (4.0, 7.0)),
    "silent to kafka": Kind(make_silent("kafka"), 1, (4.0, 7.0)),
    "reset by valkey": Kind(reset("valkey"), 1, (0.5, 2.0)),
    "replies of valkey cut": Kind(cut_replies("valkey", REPLY_BYTES_MAX), 1, (0.0, 0.0)),
    "replies of kafka cut": Kind(cut_replies("kafka", 100_000), 1, (0.0, 0.0)),
    "memory limit of valkey": Kind(reach_memory_limit, 1, (14.0, 16.0), from_calm=True),
    "full disk of valkey": Kind(fill_disk_of_valkey, 1, (14.0, 16.0), from_calm=True),
    "full disk of kafka": Kind(fill_disk_of_kafka, 1, (3.0, 5.0)),
}
