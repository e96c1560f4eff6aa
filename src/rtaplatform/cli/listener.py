"""The socket that the API listens on, and how many connections the limit of open files allows on it.

The socket is opened here and not by the server, for three reasons: a second process on a taken port is refused (the
server would share the port), a host may be a name, and what accepted connections inherit can be set:

- DEAD_CLIENT_MS: a client that acknowledges nothing for so long is gone, and so is one whose window stays shut. The
  kernel then resets the connection, and frees what was queued for it.
- UNSENT_BYTES_MAX: so much of an answer waits in the kernel beyond what is on its way.
"""

from __future__ import annotations

import errno
import resource
import socket

from rtaplatform.core.errors import SetupError
from rtaplatform.local.data.ports import port_holder
from rtaplatform.local.supervisor.open_files import raise_to

BACKLOG = 2_048
DEAD_CLIENT_MS = 20_000
KEEPALIVE_SECONDS = 20
UNSENT_BYTES_MAX = 64 << 10
FILES_OF_OUR_OWN = 128  # connections to the servers behind, libraries, logs
HEADROOM = 256  # accepted beyond the limit of connections, until the warden has made room
CONNECTIONS_MIN = 32
_TCP_NOTSENT_LOWAT = 25
_REMEDIES = {
    errno.EADDRINUSE: "Choose another with --port, or --port 0 for any free one.",
    errno.EACCES: "A port below 1024 needs root's rights. Choose another with --port.",
    errno.EADDRNOTAVAIL: "Give an address of this machine with --host: 127.0.0.1, or 0.0.0.0 for all of them.",
}


def open_listener(host: str, port: int) -> socket.socket:
    """Bound, not yet listening; port 0 is any free one. Raises SetupError."""
    family, address = resolve_host(host)
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _set_for_connections(listener)
        listener.bind((address, port))
        # Two sockets may be bound to one port, but only one of them may listen.
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _explain(error, host, port) from None
    return listener


def resolve_host(host: str) -> tuple[socket.AddressFamily, str]:
    """An address, in brackets or not, a name, or `*` for all of IPv4; raises SetupError."""
    name = host.strip().removeprefix("[").removesuffix("]")
    if name == "*":
        return socket.AF_INET, "0.0.0.0"  # noqa: S104  (that is what was asked for)
    try:
        found = socket.getaddrinfo(name or None, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        found = []
    if not name or not found:
        raise SetupError(
            f"The API cannot listen on host {host!r}: that is no address and no name that is known here.",
            "Give --host (or RTA_API_HOST) as 127.0.0.1, 0.0.0.0, ::1, localhost or *.",
            exit_code=2,
        )
    family, _, _, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
    return family, str(address[0])


def make_room(connections_max: int) -> int:
    """Have as many files as that takes. How many connections are possible; raises SetupError where hardly any are."""
    wanted = connections_max + HEADROOM + FILES_OF_OUR_OWN
    files = raise_to(wanted)
    possible = connections_max if files == resource.RLIM_INFINITY else connections_of(files, connections_max)
    if possible < CONNECTIONS_MIN:
        raise SetupError(
            f"Only {files} files may be open: that leaves {max(0, possible)} connections.",
            f"Raise the limit to {wanted} (ulimit -n, LimitNOFILE=), or lower RTA_API_CONNECTIONS_MAX.",
        )
    return possible


def connections_of(files: int, connections_max: int) -> int:
    """So many connections fit into `files` open ones: what is left over is shared with the headroom."""
    left = files - FILES_OF_OUR_OWN
    return min(connections_max, left - min(HEADROOM, left // 4))


def headroom_of(connections_max: int) -> int:
    """How many connections beyond the limit are accepted before newcomers have to wait."""
    return min(HEADROOM, max(1, connections_max // 4))


def _set_for_connections(listener: socket.socket) -> None:
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_CLIENT_MS)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_SECONDS)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_SECONDS // 4)
        listener.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, UNSENT_BYTES_MAX)


def _explain(error: OSError, host: str, port: int) -> SetupError:
    if error.errno == errno.EADDRINUSE:
        said = f"Port {port} is taken{port_holder(port)}."
    elif error.errno == errno.EACCES:
        said = f"This user may not listen on port {port}."
    elif error.errno == errno.EADDRNOTAVAIL:
        said = f"{host!r} is no address of this machine."
    else:
        said = f"The API cannot listen on {host!r}, port {port}: {error.strerror}."
    code = 2 if error.errno == errno.EADDRNOTAVAIL else 3
    return SetupError(said, _REMEDIES.get(error.errno or 0, "See --host and --port."), exit_code=code)
