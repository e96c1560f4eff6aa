"""How soon does the dashboard show its first numbers, and an empty project its first event? What do the pages cost?

    ./rta up --ready-file ready.json                       # in one terminal
    .venv/bin/python -m benchmarks.dashboard_first numbers ready.json --times 30
    .venv/bin/python -m benchmarks.dashboard_first event ready.json --times 20
    .venv/bin/python -m benchmarks.dashboard_first start --times 10

`numbers` opens the overview with an empty cache, and waits for the first frame with a number in a tile. `event` makes
an empty project, opens its overview, sends the first event, and waits for the first frame that shows it; the time
counts from the collector's answer. `start` lets new processes read and compress the pages: that is all that an API with
pages does more at its start than one without. The target is a second for each p99. Exit code 4 where it is missed.
"""

from __future__ import annotations

import argparse
import json
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx
from playwright.sync_api import BrowserContext, Page

from benchmarks.signed_in_browser import read_ready_file, running_signed_in_browser

S_MAX = 1.0
SEEN_MS_MAX = 60_000
# Runs before the page's own script. The message is handled after the frame is painted.
WATCH = """(() => {
  const selector = SELECTOR;
  const note = () => {
    if (window.painted || !document.querySelector(selector)) return;
    requestAnimationFrame(() => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => { window.painted ??= Date.now() / 1000; };
      port2.postMessage(null);
    });
  };
  new MutationObserver(note).observe(document, { subtree: true, childList: true, attributes: true });
})()"""
NUMBER, ARRIVAL = "[data-metric] [data-value]", ".arrival"
READ_PAGES = """
import time
from rtaplatform.serve.dashboard.dashboard_files import read_dashboard
start_s = time.perf_counter()
assert read_dashboard().shell is not None
print(time.perf_counter() - start_s)
"""


def measure_numbers(ready: dict[str, Any]) -> float:
    """The seconds from the navigation to the first frame with a number, in a new browser."""
    with running_signed_in_browser(ready) as context:
        page = _open_watched(context, NUMBER)
        start_s = time.time()
        page.goto(f"{ready['url']}/")
        return _read_painted(page) - start_s


def measure_event(ready: dict[str, Any]) -> float:
    """The seconds from the collector's answer to the first frame with the first event of a new project."""
    project = _make_project(ready)
    with running_signed_in_browser({**ready, **project}) as context:
        page = _open_watched(context, ARRIVAL)
        page.goto(f"{ready['url']}/")
        page.wait_for_selector(".listening", timeout=SEEN_MS_MAX)
        time.sleep(1.0)  # the page has said that it listens; now its line is open
        _call(ready["url"], "/v1/track", project["write_key"], {"event": "Signed Up", "anonymousId": "first"})
        accepted_s = time.time()
        return _read_painted(page) - accepted_s


def measure_start(_: dict[str, Any]) -> float:
    command = (sys.executable, "-c", READ_PAGES)
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


MODES: dict[str, Callable[[dict[str, Any]], float]] = {
    "numbers": measure_numbers, "event": measure_event, "start": measure_start,
}  # fmt: skip


def _open_watched(context: BrowserContext, selector: str) -> Page:
    context.add_init_script(WATCH.replace("SELECTOR", json.dumps(selector)))
    return context.new_page()


def _read_painted(page: Page) -> float:
    painted_s: float = page.wait_for_function("() => window.painted", timeout=SEEN_MS_MAX).json_value()
    return painted_s


def _make_project(ready: dict[str, Any]) -> dict[str, str]:
    slug = f"first-{secrets.token_hex(4)}"
    answer = _call(ready["url"], "/v1/projects", ready["admin_key"], {"slug": slug, "name": slug})
    keys: dict[str, str] = answer["keys"]
    return keys


def _call(url: str, path: str, key: str, body: dict[str, str]) -> dict[str, Any]:
    answer = httpx.post(url + path, json=body, headers={"Authorization": f"Bearer {key}"}, timeout=30)
    answer.raise_for_status()
    content: dict[str, Any] = answer.json()
    return content


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=MODES, help="what is measured")
    parser.add_argument("ready_file", type=Path, nargs="?", help="what `rta up --ready-file` wrote; `start` needs none")
    parser.add_argument("--times", type=int, default=20, help="how often it is measured (at least twice)")
    arguments = parser.parse_args()
    if arguments.ready_file is None and arguments.mode != "start":
        parser.error(f"{arguments.mode} needs the ready file of a running platform")
    ready = read_ready_file(arguments.ready_file) if arguments.ready_file else {}
    seconds = [MODES[arguments.mode](ready) for _ in range(max(2, arguments.times))]
    p50_s, p99_s = median(seconds), quantiles(seconds, n=100, method="inclusive")[98]
    print(f"{arguments.mode}  {len(seconds)} times  p50 {p50_s:.3f} s  p99 {p99_s:.3f} s  max {max(seconds):.3f} s")
    return 0 if p99_s <= S_MAX else 4


if __name__ == "__main__":
    sys.exit(main())
