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
    process = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=BUILD_SECONDS_MAX
    )
    assert process.returncode == 0, process.stderr
    return folder / "send"


def send(program: Path, url: str, key: str, size: int = 1, *settings: str) -> tuple[int, str]:
    """Run the program. Returns how many messages its SDK gave up, and what it said of them."""
    command = [str(program), url, key, str(size), *settings]
    process = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert process.returncode == 0, process.stderr
    return int(process.stdout), process.stderr


def test_go_sends_again_and_counts_are_the_truth(project: LiveProject, program: Path) -> None:
    proxy = FlakyProxy(project.platform.url)
    failures, _ = send(program, proxy.url, project.write_key)  # it tells of the failures, which are over
    expect_the_truth(project, repeated=EVENTS)
    proxy.stop()
    assert (failures, proxy.failures < 0) == (0, True)
    assert set(proxy.statuses + proxy.repeated) == {200}


def test_go_tells_of_a_wrong_key(platform: LivePlatform, project: LiveProject, program: Path) -> None:
    # It tries ten times whatever the answer is, by default within three quarters of a minute.
    failures, log_text = send(program, platform.url, "rta_w_wrong", 1, str(PAUSE_MS))
    assert failures == EVENTS
    assert "401" in log_text
    assert project.read_total("events") == 0


def test_go_gives_up_events_that_are_too_large_and_sends_the_others(project: LiveProject, program: Path) -> None:
    failures, log_text = send(program, project.platform.url, project.write_key, TOO_LARGE)
    assert failures == CLICKS
    assert "maximum allowed size" in log_text
    wait_for(lambda: project.read_total("events") == EVENTS - CLICKS, "the events of usual size are counted")
    assert project.read_totals("events", breakdown="event").keys() == {("$identify",), ("Order Completed",)}
