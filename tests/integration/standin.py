"""Stand-ins for the stages, to test the supervision of real processes without them.

`python -m tests.integration.standin platform DATA_DIR READY_FILE [PORT]` is `rta up` with stand-in stages;
the other roles are those stages. Each starts a child of its own, as a server with several processes does.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from rtaplatform.core.errors import SetupError
from rtaplatform.local.platform import LaunchOptions, StageProcesses, running_platform
from rtaplatform.local.supervisor.spawn import die_with
from rtaplatform.local.supervisor.supervisor import StopRequested

ME = (sys.executable, "-m", "tests.integration.standin")


class Ready(BaseHTTPRequestHandler):
    """Answers 200 to everything."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


def run_platform(data_dir: str, ready_file: str, port: str = "0") -> None:
    stages = StageProcesses((*ME, "migrate"), (*ME, "worker"), (*ME, "api"), (*ME, "simulate"), (*ME, "profiles"))
    launch_options = LaunchOptions(Path(data_dir), int(port), 10, 2, Path(ready_file), stages=stages)
    try:
        with running_platform(launch_options, lambda text: print(text, flush=True)) as instance:
            for _ in instance.supervisor.tick():
                pass
    except SetupError as error:
        print(error, flush=True)
        sys.exit(error.exit_code)
    except StopRequested:
        print("stopped", flush=True)


def run_api() -> None:
    HTTPServer((os.environ["RTA_API_HOST"], int(os.environ["RTA_API_PORT"])), Ready).serve_forever()


def with_grandchild() -> None:
    subprocess.Popen([*ME, "grandchild", str(os.getpid())])
    time.sleep(3600)


def run_grandchild(parent: str) -> None:
    die_with(int(parent))  # also if the parent has ended while this process was starting
    time.sleep(3600)


def run_stubborn() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(3600)


if __name__ == "__main__":
    roles: dict[str, Callable[..., None]] = {
        "platform": run_platform,
        "migrate": lambda: None,
        "worker": with_grandchild,
        "api": run_api,
        "profiles": with_grandchild,
        "simulate": run_stubborn,
        "grandchild": run_grandchild,
    }
    role, *arguments = sys.argv[1:]
    arguments = [word for word in arguments if word != "--replace-demo-keys"]
    while arguments[:1] in (["--rate"], ["--malformed"]):
        arguments = arguments[2:]
    roles[role](*arguments)
