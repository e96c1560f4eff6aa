"""One platform, one website and one Chromium for all tests here; each test has a project and visitors of its own."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserType, sync_playwright

from tests.browser.live_platform import LivePlatform, LiveProject
from tests.browser.site import Site
from tests.browser.visitors import CHROMIUM_OPTIONS, Visitors


@pytest.fixture(scope="package")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LivePlatform]:
    running = LivePlatform.start(tmp_path_factory.mktemp("platform"))
    yield running
    running.stop()


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
