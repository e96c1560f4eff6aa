"""Segment's SDK for Java, unchanged: what it sends is what is counted, whatever happens on the way."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from rtaplatform.local.data.cache_folder import find_cache_folder
from rtaplatform.local.servers.jars import fetch_class_path
from rtaplatform.local.servers.java import find_java
from rtaplatform.settings import LocalSettings
from tests.browser.flaky_proxy import FlakyProxy
from tests.browser.live_platform import LivePlatform, LiveProject, wait_for
from tests.browser.python_sdks import CLICKS, EVENTS
from tests.browser.test_python_sdks import TOO_LARGE, expect_the_truth

SOURCE_FOLDER = Path(__file__).parent / "java_sdk"
SECONDS_MAX = 240.0


@dataclass(frozen=True)
class JavaProgram:
    """The compiled program, with exactly the jars of the lock: the compiler is one of them."""

    java: Path
    class_path: str

    def send(self, url: str, key: str, size: int = 1) -> tuple[int, str]:
        """Run it. Returns how many messages its SDK gave up, and what it said of them."""
        process = self.run("-cp", self.class_path, "Send", url, key, str(size))
        return int(process.stdout), process.stderr

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        process = subprocess.run(
            [str(self.java), *arguments], capture_output=True, text=True, check=False, timeout=SECONDS_MAX
        )
        assert process.returncode == 0, process.stderr
        return process


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> JavaProgram:
    settings, folder = LocalSettings(), tmp_path_factory.mktemp("java")
    jars = fetch_class_path(
        find_cache_folder(settings.cache_dir), lambda _: None, repository_url=settings.maven_url,
        lock_file=SOURCE_FOLDER / "segment.lock.toml",
    )  # fmt: skip
    program = JavaProgram(find_java().program, os.pathsep.join(map(str, [*jars, folder])))
    compiler = next(jar for jar in jars if jar.name.startswith("ecj-"))
    program.run(
        "-jar", str(compiler), "-17", "-d", str(folder), "-cp", program.class_path, str(SOURCE_FOLDER / "Send.java")
    )
    return program


def test_java_sends_again_and_counts_are_the_truth(project: LiveProject, program: JavaProgram) -> None:
    """After one failure: this SDK waits for at least 15 seconds, and twice as long after the next."""
    proxy = FlakyProxy(project.platform.url, failures=1)
    assert program.send(proxy.url, project.write_key)[0] == 0
    expect_the_truth(project, repeated=EVENTS)
    proxy.stop()
    assert proxy.failures < 0
    assert set(proxy.statuses + proxy.repeated) == {200}


def test_java_tells_of_a_wrong_key(platform: LivePlatform, project: LiveProject, program: JavaProgram) -> None:
    assert program.send(platform.url, "rta_w_wrong")[0] == EVENTS
    assert project.read_total("events") == 0


def test_java_gives_up_events_that_are_too_large_and_sends_the_others(
    project: LiveProject, program: JavaProgram
) -> None:
    assert program.send(project.platform.url, project.write_key, TOO_LARGE)[0] == CLICKS
    wait_for(lambda: project.read_total("events") == EVENTS - CLICKS, "the events of usual size are counted")
    assert project.read_totals("events", breakdown="event").keys() == {("$identify",), ("Order Completed",)}
