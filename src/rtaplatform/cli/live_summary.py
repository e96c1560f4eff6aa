"""The live numbers that `rta up` shows, read from the API and from the workers' signals over HTTP.

A number that cannot be read is left out, never guessed.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from rtaplatform.cli.recent_records import (
    RecentRecords,
    describe_recent_records,
    list_warnings,
    read_recent_records,
)
from rtaplatform.local.supervisor.readiness import read_readiness

READ_SECONDS = 2.0
RATE_READS = 6
RATE_BEFORE_SECONDS = 24 * 3_600.0  # so that late events are part of the rate
FIXED_SECONDS_MAX = 12 * 3_600.0  # with the line above: less than the 48 hours for which minutes are kept
TIMEOUT_SECONDS = 3.0


@dataclass(frozen=True)
class LiveSummary:
    """The numbers. None for one that could not be read."""

    events_per_second: float | None = None
    online: float | None = None
    orders: float | None = None
    revenue: float | None = None
    currency: str = ""
    lag_ms: float | None = None
    popular: tuple[tuple[str, float], ...] = ()
    recent: RecentRecords | None = None
    problems: tuple[str, ...] = ()


class LiveSummaryReader:
    """Reads the numbers every READ_SECONDS in its own thread. `latest` has the newest.

    The rate is computed from the events since a fixed time, because a sliding window would lose events at its start.
    """

    def __init__(
        self,
        url: str,
        key: Callable[[], str],
        now: Callable[[], float] = time.time,
        *,
        signals: Mapping[str, str] | None = None,
    ) -> None:
        """`signals`: name of a process → URL of its signals."""
        self._url, self._key, self._now, self._signals = url, key, now, signals or {}
        self.latest = LiveSummary(problems=("reading …",))
        self._since = now() - RATE_BEFORE_SECONDS
        self._totals: deque[tuple[float, float]] = deque(maxlen=RATE_READS)

    def start(self) -> None:
        threading.Thread(target=self._run, daemon=True, name="numbers").start()

    def read(self) -> LiveSummary:
        """Read the numbers once."""
        recent = read_recent_records(self._signals)
        numbers = self._read_from_api()
        return replace(numbers, recent=recent, problems=(*numbers.problems, *list_warnings(recent)))

    def _read_from_api(self) -> LiveSummary:
        readiness = read_readiness(self._url)
        try:
            return replace(self._read_numbers(), problems=readiness.problems)
        except urllib.error.HTTPError as error:
            return LiveSummary(problems=readiness.problems or (f"the API answers with status {error.code}",))
        except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
            return LiveSummary(problems=readiness.problems or (f"the API does not answer ({type(error).__name__})",))

    def _run(self) -> None:
        while True:
            self.latest = self.read()
            time.sleep(READ_SECONDS)

    def _read_numbers(self) -> LiveSummary:
        events = self._get(f"/v1/metrics/events?from={self._choose_start()}")
        revenue = self._get("/v1/metrics/revenue")
        popular = self._get("/v1/products/popular?by=views&window=1h&limit=5")
        return LiveSummary(
            events_per_second=self._compute_rate(float(events["results"][0]["total"])),
            online=self._read_total("online"),
            orders=self._read_total("orders"),
            revenue=revenue["results"][0]["total"],
            currency=revenue.get("currency") or "",
            lag_ms=events["meta"].get("lag_ms"),
            popular=tuple((item.get("name") or item["product_id"], item["value"]) for item in popular["results"]),
        )

    def _choose_start(self) -> str:
        """A start that stays the same for hours. After a new one, the rate is known again after two reads."""
        if self._now() - self._since > RATE_BEFORE_SECONDS + FIXED_SECONDS_MAX:
            self._since = self._now() - RATE_BEFORE_SECONDS
            self._totals.clear()
        return time.strftime("%Y-%m-%dT%H:%M:00Z", time.gmtime(self._since))

    def _compute_rate(self, total: float) -> float | None:
        """Events per second since the oldest of the last RATE_READS reads. None before the second read."""
        now = time.monotonic()
        self._totals.append((now, total))
        oldest_at, oldest_total = self._totals[0]
        return max(total - oldest_total, 0.0) / (now - oldest_at) if now > oldest_at else None

    def _read_total(self, metric: str) -> float | None:
        total = self._get(f"/v1/metrics/{metric}")["results"][0]["total"]
        return None if total is None else float(total)

    def _get(self, path: str) -> Any:
        request = urllib.request.Request(self._url + path, headers={"Authorization": f"Bearer {self._key()}"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310  # the URL is ours
            return json.load(answer)


def format_line(numbers: LiveSummary) -> str:
    """One plain line."""
    return "  ".join((*(f"{name} {value}" for name, value in _format_rows(numbers)), *numbers.problems))


def format_table(numbers: LiveSummary) -> Group:
    """A small table for a terminal."""
    table = Table.grid(padding=(0, 2))
    for name, value in _format_rows(numbers):
        table.add_row(Text(name, style="dim"), value)
    products = Table.grid(padding=(0, 2))
    for name, views in numbers.popular:
        products.add_row(f"{views:,.0f}", name)
    parts: list[Any] = [table]
    if numbers.popular:
        parts += [Text("\nmost viewed in the last hour", style="dim"), products]
    parts += [Text(f"! {problem}", style="yellow") for problem in numbers.problems]
    return Group(*parts)


def _format_rows(numbers: LiveSummary) -> list[tuple[str, str]]:
    rows = [
        ("events/s", numbers.events_per_second, "{:,.1f}"),
        ("online", numbers.online, "{:,.0f}"),
        ("orders 24 h", numbers.orders, "{:,.0f}"),
        ("revenue 24 h", numbers.revenue, "{:,.2f} " + numbers.currency),
        ("lag", numbers.lag_ms, "{:,.0f} ms"),
    ]
    texts = [(name, form.format(value).strip()) for name, value, form in rows if value is not None]
    return texts if numbers.recent is None else [*texts, ("records", describe_recent_records(numbers.recent))]
