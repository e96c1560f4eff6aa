"""Segment's own script for pages, unchanged: it sends to the platform that it asked, and to no other company."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import BrowserType

from tests.browser.live_platform import LiveProject
from tests.browser.site import PREFIX, Site
from tests.browser.visitors import CHROMIUM_ARGUMENTS, CHROMIUM_OPTIONS

PAGE_MADE = "not an origin"  # what the browser asks for itself has no page behind it
CALLS = """async () => {
  const analytics = AnalyticsNext.AnalyticsBrowser.load({ writeKey: "%s", cdnURL: "%s" });
  await analytics.page(); await analytics.identify("u-1", { plan: "pro" });
  await analytics.track("Order Completed", { order_id: "o-1", total: 12.5, currency: "EUR" });
}"""


def install_segment(folder: Path) -> Path:
    process = subprocess.run(["npm", "ci"], cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert process.returncode == 0, process.stderr
    return folder / "node_modules" / "@segment" / "analytics-next" / "dist" / "umd"


def read_hosts_asked_by_pages(net_log: Path) -> set[str]:
    """The hosts that Chromium's network log says pages have asked for, whatever became of the requests."""
    text = net_log.read_text().rstrip().rstrip(",")
    log = json.loads(text if text.endswith("}") else text + "]}")
    starts = [event["params"] for event in log["events"] if "url" in event.get("params", {})]
    urls = [request["url"] for request in starts if request.get("initiator", PAGE_MADE) != PAGE_MADE]
    return {urlsplit(url).netloc for url in urls}


def test_segments_script_and_ours_ask_no_other_host(
    chromium: BrowserType, site: Site, project: LiveProject, npm_folder: Path, tmp_path: Path
) -> None:
    """In Chromium's own network log, which has every request of every page."""
    scripts = install_segment(npm_folder)
    site.files = {f"/segment/{path.name}": path for path in scripts.glob("*.js")}
    site.head = (
        '<script src="/segment/index.js"></script>'
        f'<script defer src="{project.platform.url}/rta.js" data-key="{project.write_key}" data-engaged="off"></script>'
    )
    log, program = tmp_path / "net.json", shutil.which("chromium")
    assert program is not None
    options = {**CHROMIUM_OPTIONS, "args": [*CHROMIUM_ARGUMENTS, f"--log-net-log={log}"]}
    browser = chromium.launch(executable_path=program, **options)
    page = browser.new_page()
    page.goto(site.url)
    page.evaluate(CALLS % (project.write_key, project.platform.url))
    page.goto(f"{site.url}/again")
    page.evaluate(CALLS % (project.write_key, f"{site.url}{PREFIX}"))
    # A page view of ours for each page, and three calls of Segment's, of which the order counts once.
    records = project.wait_for_messages(8)
    browser.close()
    libraries = sorted(record["context"]["library"]["name"] for record in records)
    assert libraries == ["analytics.js"] * 6 + ["rta.js"] * 2
    project.wait_for_total("events", 8)
    assert (project.read_total("orders"), project.read_total("revenue")) == (1, 12.5)
    assert any(body.count(b"Order Completed") for _, body in site.posts), "the second went through the path of the site"
    allowed = {urlsplit(site.url).netloc, urlsplit(project.platform.url).netloc}
    assert read_hosts_asked_by_pages(log) == allowed
