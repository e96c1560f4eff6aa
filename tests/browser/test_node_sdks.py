"""Unchanged SDKs for Node, and Plausible's script in Chromium: what they send is what is counted."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser

from tests.browser.flaky_proxy import FlakyProxy
from tests.browser.live_platform import LiveProject, wait_for
from tests.browser.python_sdks import CLICKS, EVENTS, ORDERS, REVENUE
from tests.browser.site import Site
from tests.browser.test_python_sdks import expect_the_truth

PLAUSIBLE = """async ([domain, endpoint]) => {
  const { init, track } = await import("/plausible.js");
  init({ domain, endpoint, captureOnLocalhost: true });
  const sent = (name, options) => new Promise((callback) => track(name, { ...options, callback }));
  const statuses = [await sent("Clicked", { props: { plan: "pro" } })];
  statuses.push(await sent("purchase", { props: { order_id: "o-1" }, revenue: { amount: "12.5", currency: "EUR" } }));
  return statuses.map((one) => one.status);
}"""


@pytest.fixture(scope="module")
def sdks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with exactly what the lock names; nothing that it installs runs a script."""
    folder = tmp_path_factory.mktemp("npm") / "node_sdks"
    shutil.copytree(Path(__file__).parent / "node_sdks", folder, ignore=shutil.ignore_patterns("node_modules"))
    process = subprocess.run(["npm", "ci"], cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert process.returncode == 0, process.stderr
    return folder


def run_node(folder: Path, *arguments: str) -> str:
    command = ["node", "send.mjs", *arguments]
    process = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    assert process.returncode == 0, process.stderr
    return process.stderr


@pytest.mark.parametrize("sdk", ["segment", "rudderstack"])
def test_node_sends_again_and_counts_are_the_truth(project: LiveProject, sdks: Path, sdk: str) -> None:
    proxy = FlakyProxy(project.platform.url)
    run_node(sdks, sdk, proxy.url, project.write_key)  # it may tell of the failures: they are over
    expect_the_truth(project, repeated=EVENTS)
    proxy.stop()
    assert proxy.failures < 0
    assert set(proxy.statuses + proxy.repeated) == {200}


def test_segments_node_sdk_tells_of_a_wrong_key(project: LiveProject, sdks: Path) -> None:
    assert "delivery_failure" in run_node(sdks, "segment", project.platform.url, "rta_w_wrong")
    assert project.read_total("events") == 0


def test_umamis_client_counts_its_page_events_and_order(project: LiveProject, sdks: Path) -> None:
    run_node(sdks, "umami", project.platform.url, project.write_key)
    project.wait_for_total("events", CLICKS + 2)
    assert project.read_totals("events", breakdown="event") == {
        ("$page",): 1, ("Clicked",): CLICKS, ("Order Completed",): ORDERS,
    }  # fmt: skip
    assert (project.read_total("visitors"), project.read_total("sessions")) == (1, 1)
    assert project.read_total("revenue") == REVENUE


def test_plausibles_script_counts_and_asks_no_other_host(
    browser: Browser, site: Site, project: LiveProject, sdks: Path
) -> None:
    package = sdks / "node_modules" / "@plausible-analytics" / "tracker"
    site.files = {"/plausible.js": package / "plausible.js"}
    page, hosts = browser.new_page(), set[str]()
    page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    page.goto(site.url)
    endpoint = f"{project.platform.url}/api/event?writeKey={project.write_key}"
    assert page.evaluate(PLAUSIBLE, ["shop.example", endpoint]) == [202, 202]
    wait_for(lambda: project.read_total("events") == 3, "the page view and both events are counted")
    page.close()
    assert (project.read_total("page_views"), project.read_total("visitors")) == (1, 1)
    assert (project.read_total("orders"), project.read_total("revenue")) == (1, REVENUE)
    assert hosts == {urlsplit(site.url).netloc, urlsplit(project.platform.url).netloc}
