"""What /health/ready says, read as anybody would read it: whether the API serves, and what is wrong, a line each."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True)
class Readiness:
    """`problems` may hold lines though it is ready: of servers that it can do without, and of what stands still.

    `degraded` names what answers and cannot do all of its work.
    """

    is_ready: bool
    problems: tuple[str, ...] = ()
    degraded: tuple[str, ...] = ()


def read_readiness(url: str, timeout_seconds: float = TIMEOUT_SECONDS) -> Readiness:
    """Ask the API at `url`."""
    try:
        with urllib.request.urlopen(f"{url}/health/ready", timeout=timeout_seconds) as answer:  # noqa: S310  # ours
            return _readiness_of(answer.read(), is_ready=True)
    except urllib.error.HTTPError as error:
        found = _readiness_of(error.read(), is_ready=False)
        return found if found.problems else Readiness(False, (f"the API answers with status {error.code}",))
    except OSError as error:
        why = getattr(error, "reason", error) or type(error).__name__
        return Readiness(False, (f"the API does not answer ({why})",))


def _readiness_of(body: bytes, *, is_ready: bool) -> Readiness:
    try:
        detail = json.loads(body)
    except ValueError:
        return Readiness(is_ready)
    degraded = _mapping(detail).get("degraded")
    names = tuple(map(str, degraded)) if isinstance(degraded, list) else ()
    return Readiness(is_ready, tuple(problems_of(detail)), names)


def problems_of(detail: Any) -> list[str]:
    """Servers that are away or take no writes, partitions and shards that stand still, in the words of the API."""
    detail = _mapping(detail)
    servers = _mapping(detail.get("servers"))
    freshness = _mapping(detail.get("freshness"))
    lines = [_with_name(name, str(said)) for name, said in servers.items() if said != "answers"]
    lines += [f"stopped: {what}: {why}" for what, why in _mapping(freshness.get("stops")).items()]
    lines += [f"shard {shard} is only partly written: `rta rebuild`" for shard in freshness.get("torn") or ()]
    lines += [f"{name}: {said}" for name, said in freshness.items() if name in ("unknown", "quarantined") and said]
    return lines


def _with_name(name: str, said: str) -> str:
    return said if said.startswith(f"{name}:") else f"{name}: {said}"


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
