"""Faults of every kind under load, on the real servers: after it every number is the oracle's; health told the truth.

More than in a check: `./rta test tests/chaos --events 10000000 --faults 500`; see docs/how-to/run-the-chaos-test.md.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

import httpx
import pytest

from rtaplatform.local.supervisor.child_process import ChildProcess
from rtaplatform.stream.kafka.broker import Broker
from tests import plain_http
from tests.chaos.faults import KINDS
from tests.chaos.over_http import find_differences_over_http
from tests.chaos.plan import Step, estimate_seconds, make_plan
from tests.chaos.recount import Recount, read_dead_letter_origins
from tests.chaos.report import write_fault_log, write_summary
from tests.chaos.site import Site, open_site
from tests.chaos.truth import count_downs_told, count_stands_told, find_lies
from tests.chaos.watch import PROJECT, Watcher
from tests.comparison import EXCEPTIONS, SKETCH_ERROR_MAX, check_the_law, compute_expected, find_differences
from tests.integration.chaos import wait_until

SEED = 17
# Which of two reports of an order counts depends on the order of reading.
SHARES = ("--late", "0.03", "--duplicates", "0.02", "--malformed", "0.01", "--double-reports", "0")
BACKLOG = 5  # one event in so many is there at once, the others come while faults are done
CALM_SECONDS_MAX = 90
EVENTS_SECONDS_MAX = 3_600


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with open_site(tmp_path / "a site") as running:
        yield running


def test_every_number_is_the_oracles_after_faults_under_load_and_health_told_the_truth(
    site: Site, pytestconfig: pytest.Config
) -> None:
    seed_option = pytestconfig.getoption("--seed")
    seed, events = SEED if seed_option is None else seed_option, pytestconfig.getoption("--events")
    plan = make_plan(seed, pytestconfig.getoption("--faults"))
    _say(
        f"\nchaos: seed {seed}, {events:,} events, {len(plan)} faults, "
        f"about {estimate_seconds(plan):.0f} s; {site.folder}"
    )
    watcher = Watcher(site)
    try:
        with watcher.watching():
            backlog, visitors = _let_in(site, seed, events, estimate_seconds(plan))
            _do_faults(site, plan, watcher, pytestconfig.getoption("--calm"))
            wait_until(lambda: _count_records_in_log(site) >= events, f"{events:,} events", EVENTS_SECONDS_MAX)
            visitors.send_signal(signal.SIGTERM)
            sent = _count_sent(backlog) + _count_sent(visitors)
            _await_rest(site, watcher)
        wrong = _find_wrong(site, watcher, sent)
    except BaseException:
        _say(f"chaos: seed {seed}; the faults so far:\n{write_fault_log(site.history)}")
        _say(f"the last answers: {site.history.answers[-3:]}")
        with suppress(httpx.HTTPError):
            _say(f"health: {plain_http.get(f'{site.url}/health/ready', timeout=10).text}")
        raise
    _say("\n".join(write_summary(site.history)))
    assert not wrong, (
        f"seed {seed}: {len(wrong)} wrong, the first:\n" + "\n".join(wrong[:30]) + f"\n{write_fault_log(site.history)}"
    )


def _let_in(site: Site, seed: int, events: int, seconds: float) -> tuple[ChildProcess, ChildProcess]:
    """A backlog of visitors, as fast as it goes, and live ones without end: so many that the faults see all events."""
    backlog = events // BACKLOG
    rate = (events - backlog) / seconds
    common = (*SHARES, "--json")
    return (
        site.simulate("backlog", "--rate", "0", "--events", str(backlog), "--seed", str(seed + 1), *common),
        site.simulate("visitors", "--rate", f"{rate:.1f}", "--seed", str(seed), *common),
    )


def _do_faults(site: Site, plan: list[Step], watcher: Watcher, calm_between: bool) -> None:
    for step in plan:
        kind = KINDS[step.kind]
        if kind.from_calm or calm_between:
            _await_calm(watcher)
        if step.over_rebuild:
            site.rebuilds.ensure()
        with site.history.noting_fault(step.kind), kind.act(site, Random(step.seed)):
            time.sleep(step.seconds)  # how long a fault lasts is part of the plan, nothing is waited for
        site.check_children()
        wait_until(site.rebuilds.look, "a store that says what is read")
        time.sleep(step.pause)


def _await_calm(watcher: Watcher) -> None:
    since = time.monotonic()
    wait_until(lambda: watcher.is_current(since), "an answer that all is in", CALM_SECONDS_MAX)


def _count_records_in_log(site: Site) -> int:
    return sum(Broker(site.stack.kafka_settings).read_ends().values())


def _count_sent(crowd: ChildProcess) -> int:
    wait_until(lambda: not crowd.is_alive(), f"the end of {crowd.name}")
    assert crowd.read_exit_status() == 0, crowd.read_last_lines(40)
    report = json.loads(crowd.read_last_lines(1))
    assert report["unsent"] == 0
    return int(report["sent"])


def _await_rest(site: Site, watcher: Watcher) -> None:
    """Nothing more is done: it recovers without a hand."""
    site.rebuilds.finish()
    site.stack.drain()
    _await_calm(watcher)
    wait_until(lambda: plain_http.get(f"{site.url}/health/ready", timeout=10).is_success, "readiness")
    site.check_children()


def _find_wrong(site: Site, watcher: Watcher, sent: int) -> list[str]:
    """Everything that is not as it must be, a line each."""
    stack, history = site.stack, site.history
    began = time.monotonic()
    recount, totals = Recount(stack), stack.read_totals()
    _say(f"chaos: recounted {sent:,} records in {time.monotonic() - began:.0f} s")
    log_size = _count_records_in_log(site)
    dead_letters = read_dead_letter_origins(stack)
    wrong = [f"{sent} records acknowledged, {log_size} in the log"] if sent != log_size else []
    wrong += [
        f"dead letter {origin}: in Kafka {origin in dead_letters}" for origin in dead_letters ^ set(recount.truth.dead)
    ]
    wrong += find_differences(totals, compute_expected(recount.truth), distinct_tolerance=SKETCH_ERROR_MAX)
    wrong += check_the_law(totals)
    exceptions = {name: totals.counts.get(f"{PROJECT}|{name}", 0) for name in (*EXCEPTIONS, "late_links")}
    _say(f"chaos: people whom the order of reading decided about: {exceptions}")
    wrong += [f"{exceptions[name]} {name}: people were not compared" for name in EXCEPTIONS if exceptions[name]]
    wrong += find_differences_over_http(site, watcher.period, recount.truth)
    wrong += find_lies(history, recount.count_until)
    wrong += site.rebuilds.find_differences()
    if {"freeze all workers", "freeze valkey"} <= {fault.name for fault in history.faults}:
        wrong += [] if count_stands_told(history) else ["no answer had to tell of a standstill: nothing was shown"]
        wrong += (
            [] if count_downs_told(history) else ["no answer had to tell of a server that is away: nothing was shown"]
        )
    return wrong


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
