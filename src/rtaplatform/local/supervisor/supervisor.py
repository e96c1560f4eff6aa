"""Start children, keep them running, stop them in order.

Promised: a child that ends is started again, with back-off, and a line says so, also while the disk is full; on
SIGINT, SIGTERM or SIGHUP all end within STOP_SECONDS_MAX, the ones that use others first; no child outlives this
process, however it ends (the kernel kills them: spawn.py). Everything happens in the main thread, since the kernel
ties a child to its parent's thread.
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
STEADY_SECONDS = 30.0  # a child that ran this long starts over with the shortest back-off
STOP_SECONDS_MAX = 10.0
TICK_SECONDS = 0.05
_LOOK_SECONDS = 2.0
_LOG_CHECK_SECONDS = 30.0
_NOTE_AGAIN_SECONDS = 1.0


class Tier(IntEnum):
    """Who depends on whom: the greatest is stopped first."""

    SERVER = 1
    STAGE = 2
    SOURCE = 3


_TIER_STOP_SECONDS = {Tier.SOURCE: 1.0, Tier.STAGE: 4.0, Tier.SERVER: 4.0}


class StopRequested(Exception):
    """Somebody asked this process to stop."""


@dataclass(frozen=True)
class ChildSpec:
    """A process to keep running. `command` is asked anew for every start; `look` is called every few seconds."""

    name: str
    command: Callable[[], Command]
    tier: Tier = Tier.STAGE
    stop_signal: int = signal.SIGTERM
    look: Callable[[], None] | None = None


@dataclass
class _ManagedChild:
    child: ChildSpec
    process: ChildProcess
    steady: bool = False  # it was seen to work, so its end is an accident to be repaired
    failures: int = 0
    started_at: float = 0.0
    start_again_at: float | None = None
    then: Callable[[], None] | None = None  # it is to end by itself; called when it has succeeded


@dataclass
class Supervisor:
    """Keeps children; `say` is told of every end and every new start."""

    logs: Path
    say: Say
    on_change: Callable[[], None] = lambda: None  # told when there are other children than before; may raise OSError
    _kept: dict[str, _ManagedChild] = field(default_factory=dict)
    _stop_asked: int = 0
    _next_log_check: float = 0.0
    _next_look: float = 0.0
    _note_again_at: float | None = None  # what `on_change` could not write

    def start(self, child: ChildSpec) -> None:
        """Start a child; from `wait_for` on it is started again when it ends."""
        kept = _ManagedChild(child, ChildProcess(child.name, self.logs / f"{child.name}.log"))
        self._kept[child.name] = kept
        try:
            self._launch(kept)
        except OSError as error:
            raise _not_started(child, error) from error

    def wait_for(self, name: str, ready: Callable[[], bool], seconds: float) -> None:
        """Wait until the child is ready, then keep it. Raises SetupError where it ends or takes too long."""
        kept = self._kept[name]
        for _ in self.ticks(seconds):
            status = kept.process.exit_status()
            if not kept.steady and status is not None:
                raise _failed(kept.process, f"{name} ended while it was starting ({_ending(status)})")
            if ready():
                kept.steady = True
                return
        raise _failed(kept.process, f"{name} was not ready after {seconds:.0f} s")

    def run_once(self, child: ChildSpec, seconds: float) -> None:
        """Run a child that is to end by itself. Raises SetupError where it fails or takes too long."""
        process = ChildProcess(child.name, self.logs / f"{child.name}.log")
        try:
            process.start(child.command())
        except OSError as error:
            raise _not_started(child, error) from error
        try:
            for _ in self.ticks(seconds):
                status = process.exit_status()
                if status == 0:
                    return
                if status is not None:
                    raise _failed(process, f"{child.name} failed ({_ending(status)})")
            raise _failed(process, f"{child.name} was not done after {seconds:.0f} s")
        finally:
            process.kill()

    def run_beside(self, child: ChildSpec, then: Callable[[], None]) -> None:
        """Run a child that is to end by itself, without waiting; `then` is called when it has succeeded."""
        kept = _ManagedChild(child, ChildProcess(child.name, self.logs / f"{child.name}.log"), then=then)
        self._kept[child.name] = kept
        try:
            self._launch(kept)
        except OSError:
            del self._kept[child.name]  # nobody needs it

    def ticks(self, seconds: float | None = None) -> Iterator[None]:
        """Look after the children every TICK_SECONDS, for at most `seconds`. Raises StopRequested."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while deadline is None or time.monotonic() < deadline:
            if self._stop_asked:
                raise StopRequested
            self._look_after()
            yield
            time.sleep(TICK_SECONDS)

    def pids(self) -> dict[str, int]:
        """The children that run now."""
        return {
            name: kept.process.pid for name, kept in self._kept.items() if kept.process.alive() and kept.process.pid
        }

    def stop(self) -> None:
        """End all children, tier by tier; asked again meanwhile, at once."""
        asked = self._stop_asked
        for tier in sorted(Tier, reverse=True):
            processes = [(kept.child, kept.process) for kept in self._kept.values() if kept.child.tier == tier]
            for child, process in processes:
                process.signal(child.stop_signal)
            deadline = time.monotonic() + _TIER_STOP_SECONDS[tier]
            while any(process.alive() for _, process in processes):
                if time.monotonic() >= deadline or self._stop_asked > max(asked, 1):
                    break
                time.sleep(TICK_SECONDS)
            for _, process in processes:
                process.kill()
        self._kept.clear()

    @contextmanager
    def stopping_on_signals(self) -> Iterator[None]:
        """Inside, the signals that ask to stop raise StopRequested in `ticks`; at the end all children are stopped."""
        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as under nohup
            numbers.append(signal.SIGHUP)
        before = {number: signal.signal(number, self._note_signal) for number in numbers}
        try:
            yield
        finally:
            self.stop()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note_signal(self, number: int, frame: FrameType | None) -> None:
        self._stop_asked += 1

    def _launch(self, kept: _ManagedChild) -> None:
        kept.started_at, kept.start_again_at = time.monotonic(), None
        kept.process.start(kept.child.command())
        self._note_change()

    def _note_change(self) -> None:
        """A disk that is full ends nothing: what could not be written is written as soon as there is room."""
        try:
            self.on_change()
            self._note_again_at = None
        except OSError as error:
            if self._note_again_at is None:
                self.say(f"cannot note where the children run: {error.strerror}; trying again until it can")
            self._note_again_at = time.monotonic() + _NOTE_AGAIN_SECONDS

    def _look_after(self) -> None:
        for name, kept in list(self._kept.items()):
            if kept.steady and not kept.process.alive():
                self._repair(kept)
            elif kept.then and kept.process.exit_status() is not None:
                del self._kept[name]
                if kept.process.exit_status() == 0:
                    self._finish(kept.then)
                self._note_change()
        if self._note_again_at is not None and time.monotonic() >= self._note_again_at:
            self._note_change()
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + _LOOK_SECONDS
            for kept in self._kept.values():
                if kept.child.look is not None and kept.steady and kept.process.alive():
                    kept.child.look()
        if time.monotonic() >= self._next_log_check:
            self._next_log_check = time.monotonic() + _LOG_CHECK_SECONDS
            for kept in self._kept.values():
                kept.process.trim_log()

    def _finish(self, then: Callable[[], None]) -> None:
        try:
            then()
        except OSError as error:
            self.say(f"what was made cannot be kept: {error.strerror}")

    def _repair(self, kept: _ManagedChild) -> None:
        now = time.monotonic()
        if kept.start_again_at is None:
            if now - kept.started_at >= STEADY_SECONDS:
                kept.failures = 0
            ending = _ending(kept.process.exit_status() or 0)
            kept.process.kill()  # what it left behind, too
            self._wait_before_start(kept, f"{kept.child.name} ended ({ending})")
        elif now >= kept.start_again_at:
            try:
                self._launch(kept)
            except OSError as error:
                self._wait_before_start(kept, f"{kept.child.name} cannot be started ({error.strerror})")

    def _wait_before_start(self, kept: _ManagedChild, problem: str) -> None:
        pause = BACK_OFF_SECONDS[min(kept.failures, len(BACK_OFF_SECONDS) - 1)]
        kept.failures += 1
        kept.start_again_at = time.monotonic() + pause
        self.say(f"{problem}; starting it again in {pause:g} s")


def _ending(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"status {status}"


def _not_started(child: ChildSpec, error: OSError) -> SetupError:
    remedy = "See whether the disk is full or read-only, and how many processes and open files this user may have."
    return SetupError(f"{child.name} cannot be started: {error.strerror}", remedy)


def _failed(process: ChildProcess, problem: str) -> SetupError:
    lines = process.last_lines()
    shown = f"{problem}. The end of its log:\n{lines}" if lines else f"{problem}; it wrote nothing."
    return SetupError(shown, f"All of the log is in {process.log}. `rta doctor` checks what this machine has.")
