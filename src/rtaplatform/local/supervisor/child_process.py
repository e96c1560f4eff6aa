"""One child process: its command, its log file, its end.

`ChildProcess.start` is to be called from the main thread only: the kernel ties a child to the thread that started it.
A log file is cut to its last part when it grows past LOG_BYTES_MAX; the part before is kept once, as NAME.log.1.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from rtaplatform.local.supervisor import spawn

LOG_BYTES_MAX = 5_000_000
_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Command:
    """What to execute, where, with which environment (all of it), and as whom (see spawn.py)."""

    argv: tuple[str, ...]
    cwd: Path
    environment: Mapping[str, str]
    identity: str = "same"

    def wrapped(self) -> list[str]:
        """The argument list that goes through spawn.py."""
        return [sys.executable, "-I", "-S", spawn.__file__, str(os.getpid()), self.identity, *self.argv]


def run_to_its_end(command: Command, seconds_max: float) -> subprocess.CompletedProcess[str]:
    """Run a preparing command; what it says is kept. Raises TimeoutExpired."""
    return subprocess.run(
        command.wrapped(),
        cwd=command.cwd,
        env=dict(command.environment),
        capture_output=True,
        text=True,
        timeout=seconds_max,
        check=False,
    )


@dataclass
class ChildProcess:
    """A child that writes to `log`. Not started until `start`."""

    name: str
    log: Path
    _popen: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _started_at_byte: int = field(default=0, repr=False)  # of the log: what stands before is of earlier starts

    def start(self, command: Command) -> None:
        """Start the child; its output is appended to the log, its input is empty. Raises OSError.

        Where the disk has no room for a log, it runs without one.
        """
        self.trim_log()
        self._started_at_byte = self.log.stat().st_size if self.log.exists() else 0
        with self._open_log() as out:
            self._popen = subprocess.Popen(
                command.wrapped(),
                cwd=command.cwd,
                env=dict(command.environment),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int | None:
        return self._popen.pid if self._popen else None

    def exit_status(self) -> int | None:
        """The exit status once it has ended (negative: the signal), None while it runs or before it started."""
        return self._popen.poll() if self._popen else None

    def alive(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    def signal(self, number: int) -> None:
        if self._popen and self.alive():
            self._popen.send_signal(number)

    def wait(self, seconds: float) -> bool:
        """Whether it has ended, waiting at most `seconds`."""
        deadline = time.monotonic() + seconds
        while self.alive():
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_SECONDS)
        return True

    def kill(self) -> None:
        """End it and whatever it left in its session, at once."""
        if self._popen is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.kill()
        self._popen.wait()

    def stop(self, number: int, seconds: float) -> None:
        """Ask it to end with signal `number`; kill it after `seconds`."""
        self.signal(number)
        self.wait(seconds)
        self.kill()

    def last_lines(self, count: int = 12) -> str:
        """The end of what it has written to its log since its start, for a message."""
        try:
            data = self.log.read_bytes()[self._started_at_byte :][-20_000:]
        except OSError:
            return ""
        return "\n".join(data.decode(errors="replace").splitlines()[-count:])

    def trim_log(self) -> None:
        """Move a log that has grown too long aside; the child goes on appending to the same file.

        Where the disk has no room for both parts, the log stays as it is.
        """
        before = self.log.with_name(f"{self.log.name}.1")
        try:
            if not self.log.exists() or self.log.stat().st_size <= LOG_BYTES_MAX:
                return
            with self.log.open("rb") as whole, open(_private(before, os.O_TRUNC), "wb") as kept:
                shutil.copyfileobj(whole, kept)
            before.chmod(0o600)
            os.truncate(self.log, 0)
            self._started_at_byte = 0
        except OSError:
            with suppress(OSError):
                os.truncate(before, 0)

    def _open_log(self) -> IO[bytes]:
        try:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            return open(_private(self.log, os.O_APPEND), "ab")
        except OSError:
            return open(os.devnull, "ab")


def _private(path: Path, how: int) -> int:
    """Open for writing, made with mode 0600 where it is not there."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | how, 0o600)


def plain_environment() -> dict[str, str]:
    """The few variables that a server which is not ours should see: none that could change its behaviour."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return kept | {"LC_ALL": "C.UTF-8", "TZ": "UTC"}
