"""Connections that can be cut, slowed and held up: toxiproxy, between the workers and their servers.

The program is built from its Go module, pinned, once, into the cache folder; one on the PATH is taken as it is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from rtaplatform.local.data.cache_folder import find_cache_folder
from rtaplatform.local.data.ports import LOOPBACK
from rtaplatform.local.supervisor.child_process import ChildProcess, Command, make_plain_environment
from rtaplatform.settings import LocalSettings
from tests import plain_http

MODULE = "github.com/Shopify/toxiproxy/v2/cmd/server"
VERSION = "v2.5.0"  # the newest that the Go of Debian 12 (1.19) builds
BUILD_SECONDS_MAX = 600


def find_program() -> Path | None:
    """The server program, None where it has still to be built."""
    on_path = shutil.which("toxiproxy-server")
    if on_path:
        return Path(on_path)
    return _find_built() if _find_built().exists() else None


def build_program() -> Path:
    """Build it into the cache, where it is not; two at once do no harm."""
    program = find_program()
    if program:
        return program
    making = _find_built().parent / f"making-{os.getpid()}"
    making.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"GOBIN": str(making), "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}
    process = subprocess.run(
        ["go", "install", "-trimpath", f"{MODULE}@{VERSION}"],
        env=environment, capture_output=True, text=True, timeout=BUILD_SECONDS_MAX, check=False,
    )  # fmt: skip
    assert process.returncode == 0, f"toxiproxy cannot be built:\n{process.stderr[-2_000:]}"
    (making / "server").replace(_find_built())
    making.rmdir()
    return _find_built()


def _find_built() -> Path:
    return find_cache_folder(LocalSettings().cache_dir) / "tools" / f"toxiproxy-{VERSION}"


@dataclass(frozen=True)
class Link:
    """The connections to one server, through a proxy of this name."""

    url: str

    def cut(self) -> None:
        """Close every connection, and refuse new ones."""
        _post(self.url, {"enabled": False})

    def mend(self) -> None:
        _post(self.url, {"enabled": True})

    @contextmanager
    def poisoning(self, kind: str, *, stream: str = "downstream", **attributes: int) -> Iterator[None]:
        """`kind` and `attributes` are toxiproxy's, for all connections, also those there are."""
        _post(f"{self.url}/toxics", {"name": kind, "type": kind, "stream": stream, "attributes": attributes})
        try:
            yield
        finally:
            httpx.delete(f"{self.url}/toxics/{kind}").raise_for_status()


@dataclass
class Proxies:
    """A running toxiproxy. Links are made with `link`."""

    process: ChildProcess
    url: str

    @classmethod
    def start(cls, folder: Path, port: int) -> Proxies:
        process = ChildProcess("toxiproxy", folder / "logs" / "toxiproxy.log")
        argv = (str(build_program()), "-host", LOOPBACK, "-port", str(port))
        process.start(Command(argv, folder, make_plain_environment()))
        return cls(process, f"http://{LOOPBACK}:{port}")

    def answers(self) -> bool:
        return plain_http.get(f"{self.url}/version").is_success

    def link(self, name: str, *, listen: int, upstream: int) -> Link:
        """Put a proxy in front of a port of this machine."""
        addresses = {"listen": f"{LOOPBACK}:{listen}", "upstream": f"{LOOPBACK}:{upstream}"}
        _post(f"{self.url}/proxies", {"name": name, "enabled": True, **addresses})
        return Link(f"{self.url}/proxies/{name}")

    def stop(self) -> None:
        self.process.kill()


def _post(url: str, body: dict[str, Any]) -> None:
    plain_http.post(url, json=body).raise_for_status()


if __name__ == "__main__":
    sys.stdout.write(f"{build_program()}\n")
