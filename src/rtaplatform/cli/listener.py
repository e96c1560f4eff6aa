"""The socket that the API listens on, and the number of connections that the limit of open files allows.

The socket is opened here and not by the server, for three reasons: a taken port is refused (the server would share it),
the host may be a name, and options can be set that accepted connections inherit:

- DEAD_CLIENT_MS: if a client acknowledges nothing for so long, or keeps its window shut, the kernel resets the
  connection and frees what was queued for it.
- UNSENT_BYTES_MAX: so many bytes of an answer may wait in the kernel, besides those in flight.
"""

from __future__ import annotations

import errno
import resource
import socket

from rtaplatform.core.errors import SetupError
from rtaplatform.local.data.ports import describe_port_holder
from rtaplatform.local.supervisor.open_files import raise_to

BACKLOG = 2_048
DEAD_CLIENT_MS = 20_000
KEEPALIVE_SECONDS = 20
UNSENT_BYTES_MAX = 64 << 10
OWN_FILES = 128  # connections to our servers, libraries, logs
HEADROOM = 256  # connections accepted above the limit, until the connection guard has made room
CONNECTIONS_MIN = 32
_TCP_NOTSENT_LOWAT = 25
_REMEDIES = {
    errno.EADDRINUSE: "Choose another with --port, or --port 0 for any free one.",
    errno.EACCES: "A port below 1024 needs root's rights. Choose another with --port.",
    errno.EADDRNOTAVAIL: "Give an address of this machine with --host: 127.0.0.1, or 0.0.0.0 for all of them.",
}


def open_listener(host: str, port: int) -> socket.socket:
    """Open a listening socket. Port 0 is any free one. Raises SetupError."""
    family, address = resolve_host(host)
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _set_options(listener)
        listener.bind((address, port))
        # Two sockets can be bound to one port, but only one of them can listen.
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _listen_error(error, host, port) from None
    return listener


def resolve_host(host: str) -> tuple[socket.AddressFamily, str]:
    """Resolve an address (with or without brackets), a name, or `*` for all of IPv4. Raises SetupError."""
    name = host.strip().removeprefix("[").removesuffix("]")
    if name == "*":
        return socket.AF_INET, "0.0.0.0"  # noqa: S104  (the user asked for it)
    try:
        addresses = socket.getaddrinfo(name or None, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        addresses = []
    if not name or not addresses:
        raise SetupError(
            f"The API cannot listen on host {host!r}: it is neither an address nor a known name.",
            "Give --host (or RTA_API_HOST) as 127.0.0.1, 0.0.0.0, ::1, localhost or *.",
            exit_code=2,
        )
    family, _, _, _, address = min(addresses, key=lambda entry: entry[0] != socket.AF_INET)
    return family, str(address[0])


def reserve_files(connections_max: int) -> int:
    """Raise the limit of open files. Returns the number of connections that are possible. Raises SetupError if few."""
    files_needed = connections_max + HEADROOM + OWN_FILES
    files = raise_to(files_needed)
    connections = connections_max if files == resource.RLIM_INFINITY else count_connections(files, connections_max)
    if connections < CONNECTIONS_MIN:
        raise SetupError(
            f"Only {files} files may be open: that leaves {max(0, connections)} connections.",
            f"Raise the limit to {files_needed} (ulimit -n, LimitNOFILE=), or lower RTA_API_CONNECTIONS_MAX.",
        )
    return connections


def count_connections(files: int, connections_max: int) -> int:
    """The number of connections that fit into `files` open files, after our own files and the headroom."""
    files_left = files - OWN_FILES
    return min(connections_max, files_left - min(HEADROOM, files_left // 4))


def find_headroom(connections_max: int) -> int:
    """The number of connections above the limit that are accepted before new ones have to wait."""
    return min(HEADROOM, max(1, connections_max // 4))


def _set_options(listener: socket.socket) -> None:
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_CLIENT_MS)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_SECONDS)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_SECONDS // 4)
        listener.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, UNSENT_BYTES_MAX)


def _listen_error(error: OSError, host: str, port: int) -> SetupError:
    if error.errno == errno.EADDRINUSE:
        problem = f"Port {port} is taken{describe_port_holder(port)}."
    elif error.errno == errno.EACCES:
        problem = f"This user may not listen on port {port}."
    elif error.errno == errno.EADDRNOTAVAIL:
        problem = f"{host!r} is no address of this machine."
    else:
        problem = f"The API cannot listen on {host!r}, port {port}: {error.strerror}."
    code = 2 if error.errno == errno.EADDRNOTAVAIL else 3
    return SetupError(problem, _REMEDIES.get(error.errno or 0, "See --host and --port."), exit_code=code)
