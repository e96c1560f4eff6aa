"""The supervisor with small real processes: it repairs, it gives up on what never worked, it stops in order."""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from rtaplatform.core.errors import SetupError
from rtaplatform.local.supervisor import supervisor as supervisor_module
from rtaplatform.local.supervisor.child_process import LOG_BYTES_MAX, ChildProcess, Command, make_plain_environment
from rtaplatform.local.supervisor.supervisor import ChildSpec, StopRequested, Supervisor, Tier


def command(folder: Path, *argv: str) -> Command:
    return Command(argv, folder, make_plain_environment())


def make_sleeper(folder: Path, name: str = "sleeper", tier: Tier = Tier.STAGE) -> ChildSpec:
    return ChildSpec(name, lambda: command(folder, "/bin/sh", "-c", "exec sleep 60"), tier)


@pytest.fixture
def fast_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The supervisor's seconds are a tenth of ours, its pauses and its time limits alike."""
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() * 10, sleep=lambda seconds: time.sleep(seconds / 10))
    monkeypatch.setattr(supervisor_module, "time", clock)


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def supervisor(tmp_path: Path, lines: list[str]) -> Supervisor:
    return Supervisor(tmp_path / "logs", lines.append)


def test_a_child_that_ends_is_started_again_and_a_line_says_so(
    supervisor: Supervisor, tmp_path: Path, lines: list[str]
) -> None:
    with supervisor.stopping_on_signals():
        supervisor.start(make_sleeper(tmp_path))
        supervisor.wait_for("sleeper", lambda: True, 5)
        first = supervisor.list_pids()["sleeper"]
        os.kill(first, signal.SIGKILL)
        for _ in supervisor.tick(5):
            if supervisor.list_pids().get("sleeper", first) != first:
                break
        assert supervisor.list_pids()["sleeper"] != first
    assert lines == ["sleeper ended (signal 9); starting it again in 0.2 s"]


def test_a_child_that_ends_before_it_was_ready_is_an_error_with_the_end_of_its_log(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    broken = ChildSpec("broken", lambda: command(tmp_path, "/bin/sh", "-c", "echo no such thing; exit 3"))
    with supervisor.stopping_on_signals():
        supervisor.start(broken)
        with pytest.raises(
            SetupError, match=r"broken ended while it was starting \(status 3\)[^\n]*\nno such thing"
        ) as caught:
            supervisor.wait_for("broken", lambda: False, 5)
    assert str(tmp_path) in caught.value.remedy


def test_what_an_earlier_start_has_written_is_not_shown(supervisor: Supervisor, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "migrate.log").write_text("Redis URL must specify a scheme\nThis is a bug of ours.\n")
    failing = ChildSpec("migrate", lambda: command(tmp_path, "/bin/sh", "-c", "echo this time; exit 3"))
    with pytest.raises(SetupError, match="this time") as caught:
        supervisor.run_once(failing, 5)
    assert "bug of ours" not in caught.value.problem


def test_a_program_that_does_not_exist_is_said_so(supervisor: Supervisor, tmp_path: Path) -> None:
    with supervisor.stopping_on_signals():
        supervisor.start(ChildSpec("absent", lambda: command(tmp_path, "/no/such/program")))
        with pytest.raises(SetupError, match="cannot execute /no/such/program"):
            supervisor.wait_for("absent", lambda: False, 5)


def test_a_step_that_fails_is_an_error(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.run_once(ChildSpec("good", lambda: command(tmp_path, "/bin/sh", "-c", "exit 0")), 5)
    with pytest.raises(SetupError, match=r"bad failed \(status 1\)"):
        supervisor.run_once(ChildSpec("bad", lambda: command(tmp_path, "/bin/sh", "-c", "exit 1")), 5)
    with pytest.raises(SetupError, match="slow was not done after 0 s"):
        supervisor.run_once(make_sleeper(tmp_path, "slow"), 0.1)


def test_a_signal_ends_all_children_the_users_of_others_first(supervisor: Supervisor, tmp_path: Path) -> None:
    ends = tmp_path / "ends"
    script = "trap 'echo NAME >> ends; exit 0' TERM; : > NAME.ready; while :; do sleep 0.05; done"

    def noting(name: str) -> Command:
        return command(tmp_path, "/bin/sh", "-c", script.replace("NAME", name))

    with supervisor.stopping_on_signals():
        for tier in Tier:
            supervisor.start(ChildSpec(tier.name, partial(noting, tier.name), tier))
        while not all((tmp_path / f"{tier.name}.ready").exists() for tier in Tier):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(StopRequested):
            list(supervisor.tick(5))
    assert ends.read_text().split() == ["SOURCE", "STAGE", "SERVER"]
    assert supervisor.list_pids() == {}


def test_what_does_not_listen_is_killed_in_time(supervisor: Supervisor, tmp_path: Path) -> None:
    deaf = ChildSpec(
        "deaf", lambda: command(tmp_path, "/bin/sh", "-c", "trap '' TERM; sleep 60 & wait; sleep 60"), Tier.SOURCE
    )
    begin = time.monotonic()
    with supervisor.stopping_on_signals():
        supervisor.start(deaf)
        time.sleep(0.2)
    assert time.monotonic() - begin < 3


def test_a_child_is_killed_when_the_process_that_started_it_is(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from rtaplatform.local.supervisor.child_process import *\n"
        "p = ChildProcess('x', Path('x.log'))\n"
        "p.start(Command(('/bin/sleep', '60'), Path('.'), make_plain_environment()))\n"
        "Path('pid').write_text(str(p.pid)); __import__('time').sleep(0.3); os.kill(os.getpid(), signal.SIGKILL)"
    )
    source = str(Path(__file__).parents[4] / "src")
    parent = ChildProcess("parent", tmp_path / "parent.log")
    parent.start(Command((sys.executable, "-c", script), tmp_path, make_plain_environment() | {"PYTHONPATH": source}))
    assert parent.wait(10)
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 5
    while Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z":
        assert time.monotonic() < deadline, "it outlived its parent"
        time.sleep(0.02)


def test_a_log_that_grows_is_cut_and_written_on(tmp_path: Path) -> None:
    process = ChildProcess("loud", tmp_path / "loud.log")
    process.log.write_bytes(b"x" * (LOG_BYTES_MAX + 1))
    process.start(command(tmp_path, "/bin/sh", "-c", "echo once more"))
    assert process.wait(5)
    process.kill()
    assert process.log.read_text() == "once more\n"
    assert (tmp_path / "loud.log.1").stat().st_size == LOG_BYTES_MAX + 1


def test_the_part_before_of_a_log_is_private_and_a_full_disk_keeps_the_log(tmp_path: Path) -> None:
    process = ChildProcess("loud", tmp_path / "loud.log")
    process.log.write_bytes(b"x" * (LOG_BYTES_MAX + 1))
    (tmp_path / "loud.log.1").touch(0o644)
    process.trim_log()
    assert (tmp_path / "loud.log.1").stat().st_mode & 0o777 == 0o600
    process.log.write_bytes(b"y" * (LOG_BYTES_MAX + 1))
    (tmp_path / "loud.log.1").unlink()
    (tmp_path / "loud.log.1").symlink_to("/dev/full")
    process.trim_log()
    assert process.log.stat().st_size == LOG_BYTES_MAX + 1


def test_a_child_runs_without_a_log_where_none_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "logs").touch()
    process = ChildProcess("quiet", tmp_path / "logs" / "quiet.log")
    process.start(command(tmp_path, "/bin/sh", "-c", "echo; exit 0"))
    assert process.wait(5)
    assert process.read_exit_status() == 0


def make_full_disk(times: list[int]) -> Callable[[], None]:
    """Fails as on a full disk, so many times."""

    def write() -> None:
        times[0] -= 1
        if times[0] >= 0:
            raise OSError(errno.ENOSPC, "No space left on device")

    return write


@pytest.mark.usefixtures("fast_clock")
def test_a_full_disk_ends_nothing_and_what_was_not_noted_is_noted_later(
    supervisor: Supervisor, tmp_path: Path, lines: list[str]
) -> None:
    failures_ahead = [2]
    supervisor.on_change = make_full_disk(failures_ahead)
    with supervisor.stopping_on_signals():
        supervisor.start(make_sleeper(tmp_path))
        supervisor.wait_for("sleeper", lambda: True, 50)
        os.kill(supervisor.list_pids()["sleeper"], signal.SIGKILL)
        for _ in supervisor.tick(100):
            if failures_ahead[0] < 0 and "sleeper" in supervisor.list_pids():
                break
        assert "sleeper" in supervisor.list_pids()
    assert failures_ahead[0] < 0
    assert lines[0] == "cannot note where the children run: No space left on device; trying again until it can"
    assert len([line for line in lines if line.startswith("cannot note")]) == 1


@pytest.mark.usefixtures("fast_clock")
def test_a_child_that_cannot_be_started_again_is_tried_again_with_longer_pauses(
    supervisor: Supervisor, tmp_path: Path, lines: list[str]
) -> None:
    failures_ahead = [0]
    fails = make_full_disk(failures_ahead)

    def made() -> Command:
        fails()
        return command(tmp_path, "/bin/sh", "-c", "exec sleep 60")

    with supervisor.stopping_on_signals():
        supervisor.start(ChildSpec("kafka", made))
        supervisor.wait_for("kafka", lambda: True, 50)
        first, failures_ahead[0] = supervisor.list_pids()["kafka"], 2
        os.kill(first, signal.SIGKILL)
        for _ in supervisor.tick(100):
            if supervisor.list_pids().get("kafka", first) != first:
                break
        assert supervisor.list_pids()["kafka"] != first
    assert lines == [
        "kafka ended (signal 9); starting it again in 0.2 s",
        "kafka cannot be started (No space left on device); starting it again in 0.5 s",
        "kafka cannot be started (No space left on device); starting it again in 1 s",
    ]


def test_a_first_start_that_fails_is_said(supervisor: Supervisor, tmp_path: Path) -> None:
    def made() -> Command:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(SetupError, match="kafka cannot be started: No space left"):
        supervisor.start(ChildSpec("kafka", made))


@pytest.mark.usefixtures("fast_clock")
def test_a_child_that_wants_it_is_looked_after_while_it_runs(supervisor: Supervisor, tmp_path: Path) -> None:
    looks: list[bool] = []
    child = replace(make_sleeper(tmp_path), maintain=lambda: looks.append("sleeper" in supervisor.list_pids()))
    with supervisor.stopping_on_signals():
        supervisor.start(child)
        for _ in supervisor.tick(2):
            pass
        assert looks == [], "not before it is ready"
        supervisor.wait_for("sleeper", lambda: True, 50)
        for _ in supervisor.tick(100):
            if looks:
                break
    assert looks == [True]
