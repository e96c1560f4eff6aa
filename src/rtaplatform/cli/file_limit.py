"""How many connections the limit of open files allows.   It is raised as far as this user may."""

from __future__ import annotations

import resource

from rtaplatform.core.errors import SetupError

FILES_OF_OUR_OWN = 128  # connections to the servers behind, libraries, logs
HEADROOM = 256  # accepted beyond the limit of connections, until the warden has made room
CONNECTIONS_MIN = 32


def raise_file_limit(connections_max: int) -> int:
    """How many of `connections_max` connections are possible; raises SetupError where hardly any are."""
    wanted = connections_max + HEADROOM + FILES_OF_OUR_OWN
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    else:
        files = wanted if soft == resource.RLIM_INFINITY else min(wanted, soft)
    possible = connections_of(files, connections_max)
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
