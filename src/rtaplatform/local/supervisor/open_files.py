"""How many files a process may have open: connections are files, and Kafka has some for each part of its log.

Machines often allow 1,024 and let everybody raise it to much more. `rta up` does so for itself and its children, and
`rta api` for its connections.
"""

from __future__ import annotations

import resource

from rtaplatform.core.errors import SetupError

FILES_MIN = 1_024
FILES_WANTED = 65_536


def raise_limit() -> int:
    """Raise it as far as is allowed and useful. Returns what holds now; raises SetupError where that is too few."""
    files = raise_to(FILES_WANTED)
    require_enough(files)
    return files


def raise_to(wanted: int) -> int:
    """Raise it to `wanted`, or as far as this user may; it is never lowered. Returns what holds now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    reachable = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < reachable:
        resource.setrlimit(resource.RLIMIT_NOFILE, (reachable, hard))
        return reachable
    return soft


def require_enough(limit: int) -> None:
    """Raise SetupError where so many are too few."""
    if limit != resource.RLIM_INFINITY and limit < FILES_MIN:
        raise SetupError(
            f"This process may have {limit} files open; {FILES_MIN} are needed.",
            "Raise the limit: `ulimit -n 65536`, LimitNOFILE in a systemd unit, or --ulimit nofile of a container.",
        )


def reachable_limit() -> int:
    """What `raise_limit` would come to."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if hard == resource.RLIM_INFINITY else max(soft, min(hard, FILES_WANTED))
