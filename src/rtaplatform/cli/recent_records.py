"""How many records the workers consumed in the last 5 minutes, and how many of these became dead letters.

The workers' signals say it. A worker whose signals cannot be read is named, never guessed.
"""

from __future__ import annotations

import http.client
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from rtaplatform.core.events import RecordOutcome
from rtaplatform.core.time.sliding_counts import RECENT_SECONDS

DEAD_SHARE_MAX = 0.01
TIMEOUT_SECONDS = 3.0
_RECORDS, _SECONDS = "rta_worker_recent_records", "rta_worker_recent_seconds"


@dataclass(frozen=True)
class RecentRecords:
    """The counts of the workers that could be read.

    `covered_seconds`: for how much of the 5 minutes the newest of these workers has run. `unread_workers`: the others.
    """

    consumed: int
    dead_letters: int
    covered_seconds: int
    unread_workers: tuple[str, ...] = ()


def read_recent_records(signals: Mapping[str, str]) -> RecentRecords | None:
    """Read the signals (name of a process → URL) of the workers among them. None if no worker can be read."""
    texts = {name: _read(url) for name, url in signals.items() if name.startswith("worker")}
    return sum_recent_records(texts)


def sum_recent_records(texts: Mapping[str, str]) -> RecentRecords | None:
    """Sum up what the workers' signals say (name of a worker → text). None if none says it."""
    counts_by_name = {name: _parse(text) for name, text in texts.items()}
    workers = [worker for worker in counts_by_name.values() if worker is not None]
    if not workers:
        return None
    return RecentRecords(
        sum(worker.consumed for worker in workers),
        sum(worker.dead_letters for worker in workers),
        min(worker.covered_seconds for worker in workers),
        tuple(name for name, worker in counts_by_name.items() if worker is None),
    )


def describe_recent_records(recent: RecentRecords) -> str:
    """One line, which says what the counts do not cover."""
    line = f"{recent.consumed:,} consumed, {recent.dead_letters:,} dead letters in the last 5 minutes"
    limits = []
    if recent.covered_seconds < RECENT_SECONDS:
        limits.append(f"the newest worker has run for {recent.covered_seconds} s")
    if recent.unread_workers:
        limits.append(f"without {', '.join(recent.unread_workers)}, whose signals cannot be read")
    return f"{line} ({'; '.join(limits)})" if limits else line


def list_warnings(recent: RecentRecords | None) -> tuple[str, ...]:
    """A line with the remedy if dead letters pass DEAD_SHARE_MAX of the records consumed; else none."""
    if recent is None or recent.dead_letters <= recent.consumed * DEAD_SHARE_MAX:
        return ()
    counts = f"{recent.dead_letters:,} of {recent.consumed:,}"
    return (f"over 1 % of the records of the last 5 minutes are dead letters ({counts}): `rta dead-letters list`",)


def _read(url: str) -> str:
    """The signals of a worker. Empty if it does not answer."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310  # the URL is ours
            return str(answer.read(), "utf-8")
    except (OSError, ValueError, http.client.HTTPException):
        return ""


def _parse(text: str) -> RecentRecords | None:
    """What one worker says; None if these are not the signals of a worker."""
    lines = [line for line in text.splitlines() if line.startswith((_RECORDS, _SECONDS))]
    counts: dict[str, int] = {}
    covered_seconds = None
    try:
        for family in text_string_to_metric_families("\n".join(lines) + "\n"):
            for sample in family.samples:
                if sample.name == _SECONDS:
                    covered_seconds = int(sample.value)
                else:
                    counts[sample.labels["outcome"]] = int(sample.value)
    except (ValueError, KeyError, OverflowError):
        return None
    if covered_seconds is None:
        return None
    return RecentRecords(sum(counts.values()), counts.get(RecordOutcome.DEAD, 0), covered_seconds)
