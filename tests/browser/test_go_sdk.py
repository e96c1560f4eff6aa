"""Segment's SDK for Go, unchanged: what it sends is what is counted, whatever happens on the way."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.browser.flaky_proxy import FlakyProxy
from tests.browser.live_platform import LivePlatform, LiveProject, wait_for
from tests.browser.python_sdks import CLICKS, EVENTS
from tests.browser.test_python_sdks import TOO_LARGE, expect_the_truth

PAUSE_MS = 100
BUILD_SECONDS_MAX = 600.0  # Go compiles its own library where nothing is cached


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program with exactly the modules that go.sum names."""
    folder = tmp_path_factory.mktemp("go") / "go_sdk"
    shutil.copytree(Path(__file__).parent / "go_sdk", folder)
    command = ["go", "build", "-mod=readonly", "-o", "send", "."]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=BUILD_SECONDS_MAX)
    assert done.returncode == 0, done.stderr
    return folder / "send"


def send(program: Path, url: str, key: str, size: int = 1, *settings: str) -> tuple[int, str]:
    """Run the program. Returns how many messages its SDK gave up, and what it said of them."""
    command = [str(program), url, key, str(size), *settings]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return int(done.stdout), done.stderr


def test_go_sends_again_and_counts_are_the_truth(project: LiveProject, program: Path) -> None:
    proxy = FlakyProxy(project.platform.url)
    failures, _ = send(program, proxy.url, project.write_key)  # it tells of the failures, which are over
    expect_the_truth(project, repeated=EVENTS)
    proxy.stop()
    assert (failures, proxy.failures < 0) == (0, True)
    assert set(proxy.statuses + proxy.repeated) == {200}


def test_go_tells_of_a_wrong_key(platform: LivePlatform, project: LiveProject, program: Path) -> None:
    # It tries ten times whatever the answer is, by default within three quarters of a minute.
    failures, told = send(program, platform.url, "rta_w_wrong", 1, str(PAUSE_MS))
    assert failures == EVENTS
    assert "401" in told
    assert project.total("events") == 0


def test_go_gives_up_events_that_are_too_large_and_sends_the_others(project: LiveProject, program: Path) -> None:
    failures, told = send(program, project.platform.url, project.write_key, TOO_LARGE)
    assert failures == CLICKS
    assert "maximum allowed size" in told
    wait_for(lambda: project.total("events") == EVENTS - CLICKS, "the events of usual size are counted")
    assert project.totals("events", breakdown="event").keys() == {("$identify",), ("Order Completed",)}
