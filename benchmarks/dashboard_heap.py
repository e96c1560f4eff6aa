"""Does the dashboard take more memory the longer it is open?

    ./rta up --simulate 20 --ready-file ready.json         # in one terminal
    .venv/bin/python -m benchmarks.dashboard_heap ready.json --minutes 30

Opens pages in Chromium, one tab each, and leaves them open while numbers move. Every half minute the garbage is
collected and the heap is measured. The first two minutes are left out: parts of a page are still being loaded. Prints
each measurement, and at the end how much the heap and the number of nodes grew. The target: less than 5 MB in 30
minutes, and no more nodes. Exit code 4 where it is missed. Needs Chromium and the packages of requirements/dev.txt.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from playwright.sync_api import BrowserContext, CDPSession, Page

from benchmarks.signed_in_browser import read_ready_file, running_signed_in_browser

PAGES = ("/", "/feed", "/explore?metric=events&breakdown=country&from=-30m", "/engagement", "/?wall=1")
STEP_S = 30
WARM_UP_STEPS = 4
GROWTH_MB_MAX = 5.0
NODES_MAX = 200  # a list has a few rows more or fewer
ENDS = 3  # so many measurements at each end: one alone depends on when it was taken


@dataclass
class WatchedTab:
    """One page and its measurements: megabytes of heap after a collection, and nodes of its document."""

    path: str
    page: Page
    session: CDPSession
    heap_mb: list[float] = field(default_factory=list)
    nodes: list[int] = field(default_factory=list)

    def measure(self) -> None:
        self.session.send("HeapProfiler.collectGarbage")
        usage = self.session.send("Runtime.getHeapUsage")
        self.heap_mb.append(usage["usedSize"] / 2**20)
        self.nodes.append(self.page.evaluate("document.getElementsByTagName('*').length"))

    @property
    def growth_mb(self) -> float:
        return median(self.heap_mb[-ENDS:]) - median(self.heap_mb[:ENDS])

    @property
    def more_nodes(self) -> float:
        return median(self.nodes[-ENDS:]) - median(self.nodes[:ENDS])


def open_tab(context: BrowserContext, url: str, path: str) -> WatchedTab:
    page = context.new_page()
    page.goto(url + path)
    page.wait_for_selector(".dot-state")
    return WatchedTab(path, page, context.new_cdp_session(page))


def watch(context: BrowserContext, url: str, steps: int) -> list[WatchedTab]:
    tabs = [open_tab(context, url, path) for path in PAGES]
    for step in range(WARM_UP_STEPS + steps):
        tabs[0].page.wait_for_timeout(STEP_S * 1_000)
        if step < WARM_UP_STEPS:
            continue
        for tab in tabs:
            tab.measure()
        print(
            f"{(step + 1) * STEP_S / 60:5.1f} min  " + "  ".join(f"{tab.heap_mb[-1]:.2f} MB" for tab in tabs),
            flush=True,
        )
    states = [tab.page.get_attribute(".dot-state", "data-state") for tab in tabs]
    assert set(states) == {"live"}, states
    return tabs


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ready_file", type=Path)
    parser.add_argument("--minutes", type=float, default=10, help="how long to measure, after two minutes of start")
    arguments = parser.parse_args()
    ready = read_ready_file(arguments.ready_file)
    with running_signed_in_browser(ready) as context:
        tabs = watch(context, ready["url"], max(2 * ENDS, round(arguments.minutes * 60 / STEP_S)))
    for tab in tabs:
        print(f"{tab.path:55} heap {tab.growth_mb:+.2f} MB to {tab.heap_mb[-1]:.2f}, nodes {tab.more_nodes:+.0f}")
    is_good = all(tab.growth_mb < GROWTH_MB_MAX and tab.more_nodes <= NODES_MAX for tab in tabs)
    return 0 if is_good else 4


if __name__ == "__main__":
    sys.exit(main())
