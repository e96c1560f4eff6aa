"""`rta simulate --via http` against the platform: every total is the truth, though requests fail and are sent twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from typing import Any

from tests import plain_http
from tests.browser.flaky_proxy import FlakyProxy
from tests.browser.live_platform import SOURCE, LiveProject, wait_for

EVENTS = 3_000
AMOUNT = 10_000  # the truth's amounts are in 1/10,000
SHARES = ("--duplicates", "0.05", "--malformed", "0.03", "--double-reports", "0", "--users", "200")
# The rows of the truth that have a dimension, and the metric that counts them.
ROWS_OF = {
    "event": "events", "source": "events", "country": "regions", "region": "regions", "language": "regions",
    "device": "technology", "os": "technology", "browser": "technology", "utm_source": "acquisition",
    "utm_medium": "acquisition", "utm_campaign": "acquisition", "referrer": "acquisition", "channel": "acquisition",
}  # fmt: skip
DAY = {"from": "-24h"}
Rows = Iterable[dict[str, Any]]


def simulate(project: LiveProject, url: str) -> dict[str, Any]:
    """Run it to its end. Returns its truth."""
    options = ["--via", "http", "--url", url, "--write-key", project.write_key, "--project", project.slug]
    options += ["--rate", "0", "--events", str(EVENTS), *SHARES, "--data-dir", "data", "--truth", "truth.json"]
    process = subprocess.run(
        [sys.executable, "-m", "rtaplatform.cli.main", "simulate", *options],
        cwd=project.platform.folder, env={**os.environ, "PYTHONPATH": str(SOURCE)}, capture_output=True, text=True,
        timeout=240, check=False,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    truth: dict[str, Any] = json.loads((project.platform.folder / "truth.json").read_text())
    return truth


def select_hours(rows: Rows) -> list[dict[str, Any]]:
    return [row for row in rows if row["kind"] == "hour"]


def sum_number(rows: Rows, number: str) -> float:
    return float(sum(row.get(number, 0) for row in select_hours(rows)))


def count_by(rows: Rows, dimension: str) -> dict[tuple[str, ...], float]:
    counts = Counter[tuple[str, ...]]()
    for row in select_hours(rows):
        counts[(row["name" if dimension == "event" else dimension],)] += row["count"]
    return dict(counts)


def read_meta(project: LiveProject) -> dict[str, Any]:
    answer = plain_http.get(
        f"{project.platform.url}/v1/metrics/events", params=DAY, timeout=30,
        headers={"Authorization": f"Bearer {project.read_key}"},
    )  # fmt: skip
    meta: dict[str, Any] = answer.json()["meta"]
    return meta


def test_every_total_is_the_truth_after_failures_and_repeats(project: LiveProject) -> None:
    proxy = FlakyProxy(project.platform.url)
    document = simulate(project, proxy.url)
    proxy.stop()
    run, truth = document["run"], document["projects"][project.slug]
    applied, refused = truth["totals"]["applied"], sum(run["refused"].values())
    assert (run["sent"] + refused, run["unsent"], proxy.failures < 0) == (EVENTS, 0, True)
    # The proxy sends all that came through a second time.
    duplicates = truth["totals"]["duplicate"] + run["sent"]
    wait_for(lambda: read_meta(project)["duplicates"] == duplicates, f"{duplicates}, is {read_meta(project)}", 60)
    assert project.read_totals("events", bots="include", **DAY) == {(): applied}
    for dimension, rollup in ROWS_OF.items():
        assert project.read_totals("events", breakdown=dimension, **DAY) == count_by(truth[rollup], dimension), (
            dimension
        )
    bots = count_by(truth["bot_technology"], "browser")
    people = count_by(truth["technology"], "browser")
    everybody = {name: bots.get(name, 0) + people.get(name, 0) for name in bots.keys() | people.keys()}
    # There are few bots: which of the three come depends on the time of day.
    assert bots, "no bot came, so nothing is shown"
    assert bots.keys() <= {("Googlebot",), ("HeadlessChrome",), ("AhrefsBot",)}
    assert project.read_totals("events", breakdown="browser", bots="include", **DAY) == everybody
    expect_commerce_and_people(project, truth)


def expect_commerce_and_people(project: LiveProject, truth: dict[str, Any]) -> None:
    for metric, rows, number, unit in (
        ("orders", "events", "orders", 1), ("revenue", "events", "revenue", AMOUNT),
        ("page_views", "pages", "page_views", 1), ("product_views", "products", "views", 1),
        ("adds_to_cart", "products", "adds", 1), ("sessions", "sessions", "sessions", 1),
    ):  # fmt: skip
        assert sum_number(truth[rows], number) > 0, metric
        assert project.read_total(metric, **DAY) == round(sum_number(truth[rows], number) / unit, 4), metric
    named = {row["id"] for row in truth["people"]}
    assert abs(project.read_total("visitors", **DAY) - len(named)) <= 0.02 * len(named)
