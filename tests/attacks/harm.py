"""What an attack did to the API: how much memory it took, and how long the live probe waited.

```
with unharmed(stack):
    attack()
```
The limits are of every attack. They guard against freezes and exhaustion; they are no timings. `-s` shows the figures.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

RSS_GROWTH_BYTES_MAX = 64 << 20
PROBE_SECONDS_MAX = 2.0
_RESET_PEAK = "5"  # proc(5), clear_refs: the peak becomes what is resident now
_PROBE = Path(__file__).with_name("probe.py")


class Attacked(Protocol):
    """An API process and its port: `stack.Api`, `stack.Stack`."""

    @property
    def api_pid(self) -> int: ...

    @property
    def port(self) -> int: ...


class RssMeter:
    """Resident memory of one process: `before`, and the `greatest` since then, as the kernel counted it."""

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        Path(f"/proc/{pid}/clear_refs").write_text(_RESET_PEAK)
        self.before = self._read_bytes("VmRSS")

    @property
    def now(self) -> int:
        return self._read_bytes("VmRSS")

    @property
    def greatest(self) -> int:
        return self._read_bytes("VmHWM")

    @property
    def growth(self) -> int:
        return self.greatest - self.before

    def _read_bytes(self, name: str) -> int:
        [line] = [line for line in self._status.read_text().splitlines() if line.startswith(f"{name}:")]
        return int(line.split()[1]) << 10


@dataclass
class Probed:
    """What the live probe saw: its longest wait, how often it asked, and what was no 200."""

    longest_seconds: float
    count: int
    failures: list[str]


class LiveProbe:
    """Asks GET /health/live about every 30 ms while it runs; see probe.py."""

    def __init__(self, port: int) -> None:
        command = [sys.executable, "-S", str(_PROBE), str(port)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "probing\n"

    def stop(self) -> Probed:
        """What it saw. A question that is still open is waited for."""
        output, _ = self._process.communicate(timeout=60)
        return Probed(**json.loads(output))


def read_standstill(port: int) -> float:
    """The API's own signal of it, in seconds; it covers the last minute, and what was before the attack."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("rta_loop_standstill_seconds "))


@contextmanager
def expecting_no_harm(attacked: Attacked, *, rss_growth_bytes_max: int = RSS_GROWTH_BYTES_MAX) -> Iterator[RssMeter]:
    """Assert that what happens in the block neither takes the API's memory nor stops it from answering."""
    meter, probe = RssMeter(attacked.api_pid), LiveProbe(attacked.port)
    try:
        yield meter
    finally:
        probed = probe.stop()
        figures = (
            f"RSS {meter.before >> 20} -> {meter.greatest >> 20} MB (+{meter.growth / (1 << 20):.1f}), "
            f"live probe at most {probed.longest_seconds * 1000:.0f} ms in {probed.count}, "
            f"event loop stood {read_standstill(attacked.port) * 1000:.0f} ms at most within a minute"
        )
        print(f"\n    {figures}", flush=True)
    assert probed.failures == [], figures
    assert meter.growth < rss_growth_bytes_max, figures
    assert probed.longest_seconds <= PROBE_SECONDS_MAX, figures
