"""The few live numbers that `rta up` and `rta status` show, read from the API as anybody would read them.

A number that cannot be read is left out, never guessed.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections import deque
from dataclasses import dataclass
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

READ_SECONDS = 2.0
RATE_READS = 6
TIMEOUT_SECONDS = 3.0


@dataclass(frozen=True)
class Numbers:
    """What was read; None where it could not be."""

    events_per_second: float | None = None
    online: float | None = None
    orders: float | None = None
    revenue: float | None = None
    currency: str = ""
    lag_ms: float | None = None
    popular: tuple[tuple[str, float], ...] = ()
    problem: str = ""


class NumbersReader:
    """Reads the numbers every READ_SECONDS in a thread of its own; `latest` is the newest."""

    def __init__(self, url: str, key: str) -> None:
        self._url, self._key = url, key
        self.latest = Numbers(problem="reading …")
        self._totals: deque[tuple[float, float]] = deque(maxlen=RATE_READS)

    def start(self) -> None:
        threading.Thread(target=self._run, daemon=True, name="numbers").start()

    def read(self) -> Numbers:
        """Ask once."""
        try:
            return self._read()
        except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
            return Numbers(problem=f"the API does not answer ({type(error).__name__})")

    def _run(self) -> None:
        while True:
            self.latest = self.read()
            time.sleep(READ_SECONDS)

    def _read(self) -> Numbers:
        events = self._get("/v1/metrics/events")
        revenue = self._get("/v1/metrics/revenue")
        popular = self._get("/v1/products/popular?by=views&window=1h&limit=5")
        return Numbers(
            events_per_second=self._rate(float(events["results"][0]["total"])),
            online=self._total("online"),
            orders=self._total("orders"),
            revenue=revenue["results"][0]["total"],
            currency=revenue.get("currency") or "",
            lag_ms=events["meta"].get("lag_ms"),
            popular=tuple((item.get("name") or item["product_id"], item["value"]) for item in popular["results"]),
        )

    def _rate(self, total: float) -> float | None:
        """Events a second since the oldest of the last RATE_READS reads; None before the second read."""
        now = time.monotonic()
        self._totals.append((now, total))
        begin, before = self._totals[0]
        return max(total - before, 0.0) / (now - begin) if now > begin else None

    def _total(self, metric: str) -> float | None:
        total = self._get(f"/v1/metrics/{metric}")["results"][0]["total"]
        return None if total is None else float(total)

    def _get(self, path: str) -> Any:
        request = urllib.request.Request(self._url + path, headers={"Authorization": f"Bearer {self._key}"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310  # the URL is ours
            return json.load(answer)


def as_line(numbers: Numbers) -> str:
    """One plain line."""
    if numbers.problem:
        return numbers.problem
    return "  ".join(f"{name} {value}" for name, value in _rows(numbers))


def as_table(numbers: Numbers) -> Group:
    """A small table for a terminal."""
    table = Table.grid(padding=(0, 2))
    for name, value in _rows(numbers):
        table.add_row(Text(name, style="dim"), value)
    products = Table.grid(padding=(0, 2))
    for name, views in numbers.popular:
        products.add_row(f"{views:,.0f}", name)
    parts: list[Any] = [table]
    if numbers.popular:
        parts += [Text("\nmost viewed in the last hour", style="dim"), products]
    if numbers.problem:
        parts.append(Text(numbers.problem, style="yellow"))
    return Group(*parts)


def _rows(numbers: Numbers) -> list[tuple[str, str]]:
    rows = [
        ("events/s", numbers.events_per_second, "{:,.1f}"),
        ("online", numbers.online, "{:,.0f}"),
        ("orders 24 h", numbers.orders, "{:,.0f}"),
        ("revenue 24 h", numbers.revenue, "{:,.2f} " + numbers.currency),
        ("lag", numbers.lag_ms, "{:,.0f} ms"),
    ]
    return [(name, form.format(value).strip()) for name, value, form in rows if value is not None]
