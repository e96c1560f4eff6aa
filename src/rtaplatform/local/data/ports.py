"""Choose TCP ports on loopback: those of the last run if they are free, else other free ones.

A port is checked but not reserved. If another program takes it in between, the server fails to start, and the next
start chooses another port.
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
    """The error that keeps a server from listening there, or None."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error
    return None


def keep_ports(path: Path, names: list[str]) -> dict[str, int]:
    """A free port for each name: the one saved in `path` if it is still free. The choice is saved there."""
    saved_ports = read_object(path)
    ports: dict[str, int] = {}
    for name in names:
        saved_port = saved_ports.get(name)
        is_usable = isinstance(saved_port, int) and saved_port not in ports.values() and is_free(saved_port)
        ports[name] = (
            saved_port if is_usable and isinstance(saved_port, int) else _choose_free_port(set(ports.values()))
        )
    write_private(path, json.dumps(saved_ports | ports))
    return ports


def require_free(port: int, host: str = LOOPBACK) -> None:
    """Raise SetupError if no server can listen there. It says why, and if possible which process has the port."""
    error = _try_bind(port, host)
    if error is None:
        return
    remedy = "Choose another with --port, or --port 0 for any free one."
    match error.errno:
        case errno.EACCES:
            raise SetupError(
                f"Port {port} needs the rights of root: those below {_read_first_open_port()} are reserved.",
                "Choose another with --port, such as 8080, and put a proxy before it, or start as root.",
            )
        case errno.EADDRINUSE:
            raise SetupError(f"Port {port} is taken{describe_port_holder(port)}.", remedy)
        case errno.EADDRNOTAVAIL:
            raise SetupError(f"This machine has no address {host}.", "Choose one that it has with --host, or 0.0.0.0.")
        case _:
            raise SetupError(f"Nobody can listen on {host}, port {port}: {error.strerror or error}.", remedy)


def _read_first_open_port() -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    except (OSError, ValueError):
        return 1024


def _choose_free_port(excluded_ports: set[int]) -> int:
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind((LOOPBACK, 0))
            port = int(probe.getsockname()[1])
        if port not in excluded_ports:
            return port


def describe_port_holder(port: int) -> str:
    """ " by NAME (process ID)" for the process that listens on the port; "" if it cannot be found."""
    try:
        pids = {
            c.pid for c in psutil.net_connections("tcp") if c.laddr and c.laddr.port == port and c.status == "LISTEN"
        }
        pid = next(pid for pid in pids if pid)
        return f" by {psutil.Process(pid).name()} (process {pid})"
    except (psutil.Error, StopIteration, OSError):
        return ""
