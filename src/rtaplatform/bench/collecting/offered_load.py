"""What does the collector take over HTTP: its greatest rate, its delay at half of it, and what it takes of three times?

A whole platform runs with real servers, and the sender is a process of its own on the same machine. The greatest rate
is that of a closed loop. The other loads are open loops: see `open_load.py`. `goodput` is what is accepted while calls
are being sent, as a share of the greatest rate.
"""

from __future__ import annotations

import multiprocessing
import secrets
from concurrent.futures import ProcessPoolExecutor
from urllib.parse import urlsplit

from rtaplatform.bench.collecting.open_load import NO_ANSWER, Load, LoadOutcome, run_load
from rtaplatform.bench.report import BenchReport, find_percentiles_ms
from rtaplatform.bench.servers import read_cpu_seconds
from rtaplatform.bench.stack import BenchStack, running_stack, say

WARM_UP_SECONDS = 2.0
CONNECTIONS_CLOSED, CONNECTIONS_OPEN = 64, 256
HALF, TOO_MUCH = 0.5, 3.0


def measure(report: BenchReport, *, seconds: float) -> None:
    with running_stack(workers=1) as stack:
        measure_on(stack, report, seconds=seconds)


def measure_on(stack: BenchStack, report: BenchReport, *, seconds: float) -> None:
    """Report the three loads on a running platform."""
    say("Finding the greatest rate of single calls")
    _send(stack, None, min(WARM_UP_SECONDS, seconds), CONNECTIONS_CLOSED)
    cpu_s = read_cpu_seconds(stack.pids["api"])
    outcome = _send(stack, None, seconds, CONNECTIONS_CLOSED)
    cpu_us = round((read_cpu_seconds(stack.pids["api"]) - cpu_s) / max(1, outcome.sent) * 1e6)
    greatest = outcome.accepted_in_window / seconds
    report.add_row(way="greatest rate", calls_per_s=round(greatest), api_cpu_us=cpu_us, **_describe(outcome))
    for share in (HALF, TOO_MUCH):
        say(f"Sending {share:g} times as many, whatever the answers")
        outcome = _send(stack, greatest * share, seconds, CONNECTIONS_OPEN)
        goodput = round(outcome.accepted_in_window / seconds / greatest, 3)
        report.add_row(
            way=f"{share:g} of it", calls_per_s=round(greatest * share), goodput=goodput, **_describe(outcome)
        )


def _send(stack: BenchStack, rate: float | None, seconds: float, connections: int) -> LoadOutcome:
    """Send one load, from a process of its own."""
    address = urlsplit(stack.url)
    load = Load(
        address.hostname or "", address.port or 80, stack.keys.write_key, secrets.token_hex(4), rate, seconds,
        connections,
    )  # fmt: skip
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as sender:
        return sender.submit(run_load, load).result()


def _describe(outcome: LoadOutcome) -> dict[str, float]:
    names = {NO_ANSWER: "unanswered"}
    counts = {names.get(status, f"status_{status}"): n for status, n in sorted(outcome.statuses.items())}
    return {**counts, **(find_percentiles_ms(outcome.taken) if outcome.taken else {})}
