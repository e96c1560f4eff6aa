"""One platform, one website and one Chromium for all tests here; each test has a project and visitors of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserType, sync_playwright

from tests.browser.dashboard_window import ApiCaller
from tests.browser.live_platform import SOURCE, LivePlatform, LiveProject, wait_for
from tests.browser.site import Site
from tests.browser.visitors import CHROMIUM_OPTIONS, Visitors

DASHBOARD = SOURCE.parent / "web" / "dashboard"
LONGEST = "test_tracker_network.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest file: these tests are the last of their part, and two processes share the files."""
    own = [place for place, item in enumerate(items) if Path(__file__).parent in item.path.parents]
    in_order = sorted((items[place] for place in own), key=lambda item: item.path.name != LONGEST)
    for place, item in zip(own, in_order, strict=True):
        items[place] = item


@pytest.fixture(scope="package")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LivePlatform]:
    running = LivePlatform.start(tmp_path_factory.mktemp("platform"))
    yield running
    running.stop()


@pytest.fixture(scope="package")
def busy_platform(platform: LivePlatform) -> LivePlatform:
    """The same platform, whose demo shop has two days of simulated history; nobody else sends to it."""
    options = ["--backfill", "2d", "--rate", "0.1", "--kafka", platform.ready["kafka"]]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    subprocess.run(
        [sys.executable, "-m", "rtaplatform.cli.main", "simulate", *options],
        cwd=platform.folder, env=environment, check=True, timeout=120, capture_output=True,
    )  # fmt: skip
    api, totals = ApiCaller(platform, platform.ready["read_key"]), [-1.0, 0.0]
    wait_for(lambda: _is_steady(api, totals), "all of the history is counted", 120)
    return platform


def _is_steady(api: ApiCaller, totals: list[float]) -> bool:
    """Whether the number of events was the same three times, a second apart."""
    time.sleep(1)
    totals.append(api.read_total("events", **{"from": "-7d"}))
    return totals[-1] > 0 and len(set(totals[-3:])) == 1


@pytest.fixture(scope="package")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """axe-core, as the lock of the dashboard names it. It is evaluated: a script element is against the policy."""
    folder = tmp_path_factory.mktemp("axe")
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(DASHBOARD / name, folder)
    subprocess.run(["npm", "ci"], cwd=folder, check=True, timeout=300, capture_output=True)
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text()


@pytest.fixture(scope="package")
def chromium() -> Iterator[BrowserType]:
    with sync_playwright() as playwright:
        yield playwright.chromium


@pytest.fixture(scope="package")
def browser(chromium: BrowserType) -> Iterator[Browser]:
    program = shutil.which("chromium")
    assert program is not None
    launched = chromium.launch(executable_path=program, **CHROMIUM_OPTIONS)
    yield launched
    launched.close()


@pytest.fixture(scope="package")
def shared_site(platform: LivePlatform) -> Iterator[Site]:
    running = Site(platform.url)
    yield running
    running.stop()


@pytest.fixture
def site(shared_site: Site) -> Site:
    shared_site.clear()
    return shared_site


@pytest.fixture
def project(platform: LivePlatform, request: pytest.FixtureRequest) -> LiveProject:
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")
    return platform.create_project(f"{name[5:50].strip('-')}-{abs(hash(request.node.name)) % 10_000}")


@pytest.fixture
def visitors(browser: Browser, site: Site, project: LiveProject) -> Iterator[Visitors]:
    """Their pages may ask the site and the platform, and nobody else."""
    people = Visitors(browser, site, project)
    yield people
    people.leave()
    assert people.hosts <= {site.url, f"http://localhost:{site.port}", project.platform.url}
    assert people.errors == []


@pytest.fixture(scope="package")
def npm_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("segment")
    shutil.copytree(Path(__file__).parent / "segment", folder, dirs_exist_ok=True)
    return folder
