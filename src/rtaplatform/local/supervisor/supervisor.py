"""Start child processes, keep them running, stop them in order.

Promises:
- A child that ends is started again, with back-off, and a line reports it, even while the disk is full.
- On SIGINT, SIGTERM or SIGHUP all children end within STOP_SECONDS_MAX, dependent ones first.
- No child outlives this process, however it ends: the kernel kills them (spawn.py).
Everything happens in the main thread, because the kernel ties a child to the thread that started it.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from types import FrameType

from rtaplatform.core.errors import SetupError
from rtaplatform.local.supervisor.child_process import ChildProcess, Command
from rtaplatform.local.supervisor.embedded_server import Say

BACK_OFF_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
STEADY_SECONDS = 30.0  # a child that ran this long is restarted with the shortest back-off
STOP_SECONDS_MAX = 10.0
TICK_SECONDS = 0.05
_MAINTENANCE_SECONDS = 2.0
_LOG_CHECK_SECONDS = 30.0
_RETRY_CHANGE_SECONDS = 1.0


class Tier(IntEnum):
    """The order of dependence: the greatest tier is stopped first."""

    SERVER = 1
    STAGE = 2
    SOURCE = 3


_TIER_STOP_SECONDS = {Tier.SOURCE: 1.0, Tier.STAGE: 4.0, Tier.SERVER: 4.0}


class StopRequested(Exception):
    """A signal asked this process to stop."""


@dataclass(frozen=True)
class ChildSpec:
    """A process to keep running. `command` is called for every start, `maintain` every few seconds."""

    name: str
    command: Callable[[], Command]
    tier: Tier = Tier.STAGE
    stop_signal: int = signal.SIGTERM
    maintain: Callable[[], None] | None = None


@dataclass
class _ManagedChild:
    child: ChildSpec
    process: ChildProcess
    is_steady: bool = False  # it has worked, so it is started again if it ends
    failures: int = 0
    started_at: float = 0.0
    start_again_at: float | None = None
    on_success: Callable[[], None] | None = None  # set for a child that ends by itself


@dataclass
class Supervisor:
    """Keeps children running. `say` receives a line for every end and every restart."""

    logs: Path
    say: Say
    on_change: Callable[[], None] = lambda: None  # called when the set of children changes; may raise OSError
    _children: dict[str, _ManagedChild] = field(default_factory=dict)
    _stop_requests: int = 0
    _next_log_check: float = 0.0
    _next_maintenance: float = 0.0
    _retry_change_at: float | None = None  # set while `on_change` fails

    def start(self, child: ChildSpec) -> None:
        """Start a child. After `wait_for` it is started again whenever it ends."""
        entry = _ManagedChild(child, ChildProcess(child.name, self.logs / f"{child.name}.log"))
        self._children[child.name] = entry
        try:
            self._launch(entry)
        except OSError as error:
            raise _start_error(child, error) from error

    def wait_for(self, name: str, ready: Callable[[], bool], seconds: float) -> None:
        """Wait until the child is ready, then keep it running. Raises SetupError if it ends or takes too long."""
        entry = self._children[name]
        for _ in self.tick(seconds):
            status = entry.process.read_exit_status()
            if not entry.is_steady and status is not None:
                raise _explain_failure(
                    entry.process, f"{name} ended while it was starting ({_describe_status(status)})"
                )
            if ready():
                entry.is_steady = True
                return
        raise _explain_failure(entry.process, f"{name} was not ready after {seconds:.0f} s")

    def run_once(self, child: ChildSpec, seconds: float) -> None:
        """Run a child that ends by itself. Raises SetupError if it fails or takes too long."""
        process = ChildProcess(child.name, self.logs / f"{child.name}.log")
        try:
            process.start(child.command())
        except OSError as error:
            raise _start_error(child, error) from error
        try:
            for _ in self.tick(seconds):
                status = process.read_exit_status()
                if status == 0:
                    return
                if status is not None:
                    raise _explain_failure(process, f"{child.name} failed ({_describe_status(status)})")
            raise _explain_failure(process, f"{child.name} was not done after {seconds:.0f} s")
        finally:
            process.kill()

    def run_in_background(self, child: ChildSpec, on_success: Callable[[], None]) -> None:
        """Run a child that ends by itself, without waiting for it. `on_success` is called if it succeeds."""
        entry = _ManagedChild(child, ChildProcess(child.name, self.logs / f"{child.name}.log"), on_success=on_success)
        self._children[child.name] = entry
        try:
            self._launch(entry)
        except OSError:
            del self._children[child.name]  # such a child is optional

    def tick(self, seconds: float | None = None) -> Iterator[None]:
        """Check the children every TICK_SECONDS, for at most `seconds`. Raises StopRequested."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while deadline is None or time.monotonic() < deadline:
            if self._stop_requests:
                raise StopRequested
            self._check_children()
            yield
            time.sleep(TICK_SECONDS)

    def list_pids(self) -> dict[str, int]:
        """The running children: name → process id."""
        return {
            name: entry.process.pid
            for name, entry in self._children.items()
            if entry.process.is_alive() and entry.process.pid
        }

    def stop(self) -> None:
        """End all children, tier by tier. A further stop signal ends them at once."""
        requests_before = self._stop_requests
        for tier in sorted(Tier, reverse=True):
            processes = [(entry.child, entry.process) for entry in self._children.values() if entry.child.tier == tier]
            for child, process in processes:
                process.send_signal(child.stop_signal)
            deadline = time.monotonic() + _TIER_STOP_SECONDS[tier]
            while any(process.is_alive() for _, process in processes):
                if time.monotonic() >= deadline or self._stop_requests > max(requests_before, 1):
                    break
                time.sleep(TICK_SECONDS)
            for _, process in processes:
                process.kill()
        self._children.clear()

    @contextmanager
    def stopping_on_signals(self) -> Iterator[None]:
        """Within this context, stop signals raise StopRequested in `tick`. At its end all children are stopped."""
        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # it is ignored under nohup
            numbers.append(signal.SIGHUP)
        old_handlers = {number: signal.signal(number, self._count_stop_signal) for number in numbers}
        try:
            yield
        finally:
            self.stop()
            for number, handler in old_handlers.items():
                signal.signal(number, handler)

    def _count_stop_signal(self, number: int, frame: FrameType | None) -> None:
        self._stop_requests += 1

    def _launch(self, entry: _ManagedChild) -> None:
        entry.started_at, entry.start_again_at = time.monotonic(), None
        entry.process.start(entry.child.command())
        self._report_change()

    def _report_change(self) -> None:
        """Call `on_change`. If it fails, as on a full disk, it is called again until it succeeds."""
        try:
            self.on_change()
            self._retry_change_at = None
        except OSError as error:
            if self._retry_change_at is None:
                self.say(f"cannot note where the children run: {error.strerror}; trying again until it can")
            self._retry_change_at = time.monotonic() + _RETRY_CHANGE_SECONDS

    def _check_children(self) -> None:
        for name, entry in list(self._children.items()):
            if entry.is_steady and not entry.process.is_alive():
                self._repair(entry)
            elif entry.on_success and entry.process.read_exit_status() is not None:
                del self._children[name]
                if entry.process.read_exit_status() == 0:
                    self._finish(entry.on_success)
                self._report_change()
        if self._retry_change_at is not None and time.monotonic() >= self._retry_change_at:
            self._report_change()
        if time.monotonic() >= self._next_maintenance:
            self._next_maintenance = time.monotonic() + _MAINTENANCE_SECONDS
            for entry in self._children.values():
                if entry.child.maintain is not None and entry.is_steady and entry.process.is_alive():
                    entry.child.maintain()
        if time.monotonic() >= self._next_log_check:
            self._next_log_check = time.monotonic() + _LOG_CHECK_SECONDS
            for entry in self._children.values():
                entry.process.trim_log()

    def _finish(self, on_success: Callable[[], None]) -> None:
        try:
            on_success()
        except OSError as error:
            self.say(f"what was made cannot be kept: {error.strerror}")

    def _repair(self, entry: _ManagedChild) -> None:
        now = time.monotonic()
        if entry.start_again_at is None:
            if now - entry.started_at >= STEADY_SECONDS:
                entry.failures = 0
            ending = _describe_status(entry.process.read_exit_status() or 0)
            entry.process.kill()  # also kills the processes that it left behind
            self._wait_before_start(entry, f"{entry.child.name} ended ({ending})")
        elif now >= entry.start_again_at:
            try:
                self._launch(entry)
            except OSError as error:
                self._wait_before_start(entry, f"{entry.child.name} cannot be started ({error.strerror})")

    def _wait_before_start(self, entry: _ManagedChild, problem: str) -> None:
        pause = BACK_OFF_SECONDS[min(entry.failures, len(BACK_OFF_SECONDS) - 1)]
        entry.failures += 1
        entry.start_again_at = time.monotonic() + pause
        self.say(f"{problem}; starting it again in {pause:g} s")


def _describe_status(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"status {status}"


def _start_error(child: ChildSpec, error: OSError) -> SetupError:
    remedy = "See whether the disk is full or read-only, and how many processes and open files this user may have."
    return SetupError(f"{child.name} cannot be started: {error.strerror}", remedy)


def _explain_failure(process: ChildProcess, problem: str) -> SetupError:
    lines = process.read_last_lines()
    message = f"{problem}. The end of its log:\n{lines}" if lines else f"{problem}; it wrote nothing."
    return SetupError(message, f"All of the log is in {process.log}. `rta doctor` checks what this machine has.")
