"""The limit of open files of a process. Connections are files, and Kafka has several for each segment of its log.

Machines often allow 1,024 and let every user raise the limit. `rta up` raises it for itself and its children, `rta api`
for its connections.
"""

from __future__ import annotations

import resource

from rtaplatform.core.errors import SetupError

FILES_MIN = 1_024
FILES_MAX = 65_536


def raise_limit() -> int:
    """Raise the limit as far as is allowed and useful. Returns the new limit; raises SetupError if it is too low."""
    files = raise_to(FILES_MAX)
    require_enough(files)
    return files


def raise_to(target: int) -> int:
    """Raise the limit to `target`, or as far as this user may; never lower it. Returns the new limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    reachable = target if hard == resource.RLIM_INFINITY else min(target, hard)
    if soft != resource.RLIM_INFINITY and soft < reachable:
        resource.setrlimit(resource.RLIMIT_NOFILE, (reachable, hard))
        return reachable
    return soft


def require_enough(limit: int) -> None:
    """Raise SetupError if the limit is too low."""
    if limit != resource.RLIM_INFINITY and limit < FILES_MIN:
        raise SetupError(
            f"This process may have {limit} files open; {FILES_MIN} are needed.",
            "Raise the limit: `ulimit -n 65536`, LimitNOFILE in a systemd unit, or --ulimit nofile of a container.",
        )


def find_reachable_limit() -> int:
    """The limit that `raise_limit` would reach."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if hard == resource.RLIM_INFINITY else max(soft, min(hard, FILES_MAX))
