"""One child process: its command, its log file, its end.

Call `ChildProcess.start` from the main thread only: the kernel ties a child to the thread that started it. When a log
file exceeds LOG_BYTES_MAX, it is moved to NAME.log.1 and begins again.
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
    """A program with its arguments, folder, whole environment, and the identity to run as (see spawn.py)."""

    argv: tuple[str, ...]
    cwd: Path
    environment: Mapping[str, str]
    identity: str = "same"

    def wrap(self) -> list[str]:
        """The argument list that runs this command through spawn.py."""
        return [sys.executable, "-I", "-S", spawn.__file__, str(os.getpid()), self.identity, *self.argv]


def run_to_completion(command: Command, seconds_max: float) -> subprocess.CompletedProcess[str]:
    """Run a command, wait for its end and capture its output. Raises TimeoutExpired."""
    return subprocess.run(
        command.wrap(),
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
    _started_at_byte: int = field(default=0, repr=False)  # in the log; the bytes before are from earlier starts

    def start(self, command: Command) -> None:
        """Start the child. Its output is appended to the log, and its input is empty. Raises OSError.

        If the disk has no room for a log, the child runs without one.
        """
        self.trim_log()
        self._started_at_byte = self.log.stat().st_size if self.log.exists() else 0
        with self._open_log() as out:
            self._popen = subprocess.Popen(
                command.wrap(),
                cwd=command.cwd,
                env=dict(command.environment),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int | None:
        return self._popen.pid if self._popen else None

    def read_exit_status(self) -> int | None:
        """The exit status after its end (negative: a signal). None while it runs or before it was started."""
        return self._popen.poll() if self._popen else None

    def is_alive(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    def send_signal(self, number: int) -> None:
        if self._popen and self.is_alive():
            self._popen.send_signal(number)

    def wait(self, seconds: float) -> bool:
        """Wait at most `seconds`. Returns whether the child has ended."""
        deadline = time.monotonic() + seconds
        while self.is_alive():
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_SECONDS)
        return True

    def kill(self) -> None:
        """Kill the child and all other processes of its session."""
        if self._popen is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.kill()
        self._popen.wait()

    def stop(self, number: int, seconds: float) -> None:
        """Send the signal `number`, and kill the child if it still runs after `seconds`."""
        self.send_signal(number)
        self.wait(seconds)
        self.kill()

    def read_last_lines(self, count: int = 12) -> str:
        """The last lines that it has written to its log since its start, for a message."""
        try:
            data = self.log.read_bytes()[self._started_at_byte :][-20_000:]
        except OSError:
            return ""
        return "\n".join(data.decode(errors="replace").splitlines()[-count:])

    def trim_log(self) -> None:
        """Copy a log that is too long to NAME.log.1 and empty it. The child continues to append to the same file.

        If the disk has no room for the copy, the log stays as it is.
        """
        older_log = self.log.with_name(f"{self.log.name}.1")
        try:
            if not self.log.exists() or self.log.stat().st_size <= LOG_BYTES_MAX:
                return
            with self.log.open("rb") as log, open(_open_private(older_log, os.O_TRUNC), "wb") as copy:
                shutil.copyfileobj(log, copy)
            older_log.chmod(0o600)
            os.truncate(self.log, 0)
            self._started_at_byte = 0
        except OSError:
            with suppress(OSError):
                os.truncate(older_log, 0)

    def _open_log(self) -> IO[bytes]:
        try:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            return open(_open_private(self.log, os.O_APPEND), "ab")
        except OSError:
            return open(os.devnull, "ab")


def _open_private(path: Path, flags: int) -> int:
    """Open a file for writing. A new file gets mode 0600."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | flags, 0o600)


def make_plain_environment() -> dict[str, str]:
    """The few variables that an embedded server gets. None of them changes its behaviour."""
    variables = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return variables | {"LC_ALL": "C.UTF-8", "TZ": "UTC"}
