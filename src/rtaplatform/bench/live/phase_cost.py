"""What one phase of the benchmark costs: processor time of every process, and of the API for each message.

The delay of a message depends on whatever else runs on the machine; the API's processor time hardly does.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass

import httpx
import psutil

_SENT = ("rta_live_updates_total ", "rta_live_snapshots_total ")


@dataclass(frozen=True)
class CostReading:
    """Processor seconds of each process since its start, and the live messages that the API has sent since then."""

    at_s: float
    cpu_s: Mapping[str, float]
    messages: float


def read_cost(url: str, pids: Mapping[str, int]) -> CostReading:
    """Read them now; `pids` are the platform's processes. The benchmark's own process is called `clients`."""
    processes = {**pids, "clients": os.getpid()}
    cpu_s = {name: _read_cpu_seconds(psutil.Process(pid)) for name, pid in processes.items()}
    return CostReading(time.perf_counter(), cpu_s, _count_messages(url))


def describe_cost(start: CostReading, end: CostReading) -> dict[str, float | str]:
    """The API's processor time for each message, in µs, and how many hundredths of a core each process took."""
    seconds, messages = end.at_s - start.at_s, end.messages - start.messages
    taken_s = {name: end.cpu_s[name] - start.cpu_s[name] for name in start.cpu_s}
    shares = (f"{name} {cpu_seconds / seconds:.0%}" for name, cpu_seconds in sorted(taken_s.items()))
    return {
        "messages": round(messages),
        "api_us_per_message": round(taken_s["api"] / max(1, messages) * 1e6, 1),
        "of_a_core": ", ".join(shares),
    }


def _read_cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _count_messages(url: str) -> float:
    lines = httpx.get(f"{url}/metrics", timeout=30).raise_for_status().text.splitlines()
    return sum(float(line.split()[1]) for line in lines if line.startswith(_SENT))
