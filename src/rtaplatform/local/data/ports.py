"""TCP ports on loopback: those of the last run where they are free, else free ones.

A port is looked at, not held: whoever takes it in between makes the server fail to start, and the next start
chooses another.
"""

from __future__ import annotations

import errno
import json
import socket
from pathlib import Path

import psutil

from rtaplatform.core.errors import SetupError
from rtaplatform.local.data.private_files import read_object, write_private

LOOPBACK = "127.0.0.1"


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen on the port now."""
    return _try_bind(port, host) is None


def _try_bind(port: int, host: str) -> OSError | None:
    """What keeps a server from listening there; None: nothing."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error
    return None


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


def require_free(port: int, host: str = LOOPBACK) -> None:
    """Raise SetupError saying why nobody can listen there: who has the port, where that can be seen, or no right to."""
    error = _try_bind(port, host)
    if error is None:
        return
    another = "Choose another with --port, or --port 0 for any free one."
    match error.errno:
        case errno.EACCES:
            raise SetupError(
                f"Port {port} needs the rights of root: those below {_first_open_port()} are reserved.",
                "Choose another with --port, such as 8080, and put a proxy before it, or start as root.",
            )
        case errno.EADDRINUSE:
            raise SetupError(f"Port {port} is taken{port_holder(port)}.", another)
        case errno.EADDRNOTAVAIL:
            raise SetupError(f"This machine has no address {host}.", "Choose one that it has with --host, or 0.0.0.0.")
        case _:
            raise SetupError(f"Nobody can listen on {host}, port {port}: {error.strerror or error}.", another)


def _first_open_port() -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    except (OSError, ValueError):
        return 1024


def _any_free(taken: set[int]) -> int:
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind((LOOPBACK, 0))
            port = int(probe.getsockname()[1])
        if port not in taken:
            return port


def port_holder(port: int) -> str:
    """ " by NAME (process ID)" of who listens on the port; "" where that cannot be seen."""
    try:
        pids = {
            c.pid for c in psutil.net_connections("tcp") if c.laddr and c.laddr.port == port and c.status == "LISTEN"
        }
        pid = next(pid for pid in pids if pid)
        return f" by {psutil.Process(pid).name()} (process {pid})"
    except (psutil.Error, StopIteration, OSError):
        return ""
