"""TCP ports on loopback: those of the last run where they are free, else free ones.

A port is looked at, not held: whoever takes it in between makes the server fail to start, and the next start
chooses another.
"""

from __future__ import annotations

import json
import socket
from pathlib import Path

import psutil

from rtaplatform.core.errors import SetupError
from rtaplatform.local.files import read_object, write_private

LOOPBACK = "127.0.0.1"


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def keep_ports(path: Path, names: list[str]) -> dict[str, int]:
    """A free port for each name, the one kept in `path` where it still is; what was chosen is kept there."""
    kept = read_object(path)
    ports: dict[str, int] = {}
    for name in names:
        before = kept.get(name)
        usable = isinstance(before, int) and before not in ports.values() and is_free(before)
        ports[name] = before if usable and isinstance(before, int) else _any_free(set(ports.values()))
    write_private(path, json.dumps(kept | ports))
    return ports


def require_free(port: int) -> None:
    """Raise SetupError naming who has the port, where that can be seen."""
    if not is_free(port):
        raise SetupError(
            f"Port {port} is taken{holder(port)}.",
            "Choose another with --port, or --port 0 for any free one.",
        )


def _any_free(taken: set[int]) -> int:
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind((LOOPBACK, 0))
            port = int(probe.getsockname()[1])
        if port not in taken:
            return port


def holder(port: int) -> str:
    """ " by NAME (process ID)" of who listens on the port; "" where that cannot be seen."""
    try:
        pids = {
            c.pid for c in psutil.net_connections("tcp") if c.laddr and c.laddr.port == port and c.status == "LISTEN"
        }
        pid = next(pid for pid in pids if pid)
        return f" by {psutil.Process(pid).name()} (process {pid})"
    except (psutil.Error, StopIteration, OSError):
        return ""
