"""How long from the collector's answer until an open page has painted the event?

    ./rta up --simulate 2000 --ready-file ready.json       # in one terminal
    .venv/bin/python -m benchmarks.dashboard_painted ready.json --probes 100

Explore is open in Chromium and shows the total of one event. A probe is such an event, sent at a random moment after
the one before was seen. The page writes down the time of the first frame with the new total, by the same clock as this
program's. Prints the median, p99 and the maximum. The target: p99 under one second. Exit code 4 where it is missed.
"""

from __future__ import annotations

import argparse
import random
import secrets
import sys
import time
from pathlib import Path
from statistics import quantiles
from typing import Any

import httpx
from playwright.sync_api import BrowserContext, Page

from benchmarks.signed_in_browser import read_ready_file, running_signed_in_browser

P99_S_MAX = 1.0
SEEN_S_MAX = 60.0
# The frame after the change: its callbacks run before it is painted, a message that they post runs after.
WATCH = """() => {
  window.painted = {};
  const note = () => requestAnimationFrame(() => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      const total = document.querySelector("table .strong [data-value]")?.dataset.value;
      if (total) window.painted[total] ??= Date.now() / 1000;
    };
    port2.postMessage(null);
  });
  new MutationObserver(note).observe(document.body, {
    subtree: true, childList: true, characterData: true, attributes: true });
}"""


class Prober:
    """Sends events of one name and reads from the page when each total was painted."""

    def __init__(self, ready: dict[str, Any]) -> None:
        self._url, self.event = ready["url"], f"Probe {secrets.token_hex(4)}"
        self._collector = httpx.Client(headers={"Authorization": f"Bearer {ready['write_key']}"}, timeout=30)
        self._total = 0

    def send(self) -> float:
        """Returns the moment of the answer. The new total is one more than before."""
        answer = self._collector.post(f"{self._url}/v1/track", json={"event": self.event, "anonymousId": "probe"})
        moment_s = time.time()
        answer.raise_for_status()
        self._total += 1
        return moment_s

    def open_page(self, context: BrowserContext) -> Page:
        """The page has painted the first event, which is no probe."""
        self.send()
        page = context.new_page()
        page.goto(f"{self._url}/explore?metric=events&breakdown=event&event={self.event}&from=-30m")
        page.wait_for_selector(f'table .strong [data-value="{self._total}"]', timeout=SEEN_S_MAX * 1_000)
        page.evaluate(WATCH)
        return page

    def measure(self, page: Page) -> float:
        """The seconds until the page has painted one more event."""
        accepted_s = self.send()
        handle = page.wait_for_function("total => painted[total]", arg=str(self._total), timeout=SEEN_S_MAX * 1_000)
        painted_s: float = handle.json_value()
        return painted_s - accepted_s


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ready_file", type=Path)
    parser.add_argument("--probes", type=int, default=100)
    arguments = parser.parse_args()
    ready = read_ready_file(arguments.ready_file)
    prober = Prober(ready)
    with running_signed_in_browser(ready) as context:
        page = prober.open_page(context)
        delays_s = []
        for _ in range(arguments.probes):
            time.sleep(random.uniform(0.2, 1.2))
            delays_s.append(prober.measure(page))
    shares = quantiles(delays_s, n=100, method="inclusive")
    print(f"{len(delays_s)} probes  p50 {shares[49]:.3f} s  p99 {shares[98]:.3f} s  max {max(delays_s):.3f} s")
    return 0 if shares[98] < P99_S_MAX else 4


if __name__ == "__main__":
    sys.exit(main())
