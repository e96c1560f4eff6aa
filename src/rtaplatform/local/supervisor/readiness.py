"""Read /health/ready over HTTP: whether the API is ready, and one line for each problem."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True)
class Readiness:
    """Whether the API is ready, and its problems.

    A ready API may have problems too: servers that it can do without, partitions that stand still. `degraded` names
    servers that answer but cannot do all of their work.
    """

    is_ready: bool
    problems: tuple[str, ...] = ()
    degraded: tuple[str, ...] = ()


def read_readiness(url: str, timeout_seconds: float = TIMEOUT_SECONDS) -> Readiness:
    """Read the readiness of the API at `url`."""
    try:
        with urllib.request.urlopen(f"{url}/health/ready", timeout=timeout_seconds) as answer:  # noqa: S310  # ours
            return _parse_readiness(answer.read(), is_ready=True)
    except urllib.error.HTTPError as error:
        readiness = _parse_readiness(error.read(), is_ready=False)
        return readiness if readiness.problems else Readiness(False, (f"the API answers with status {error.code}",))
    except OSError as error:
        cause = getattr(error, "reason", error) or type(error).__name__
        return Readiness(False, (f"the API does not answer ({cause})",))


def _parse_readiness(body: bytes, *, is_ready: bool) -> Readiness:
    try:
        detail = json.loads(body)
    except ValueError:
        return Readiness(is_ready)
    degraded = _as_mapping(detail).get("degraded")
    names = tuple(map(str, degraded)) if isinstance(degraded, list) else ()
    return Readiness(is_ready, tuple(list_problems(detail)), names)


def list_problems(detail: Any) -> list[str]:
    """One line for each server that is away or takes no writes, and each partition or shard that stands still."""
    detail = _as_mapping(detail)
    servers = _as_mapping(detail.get("servers"))
    freshness = _as_mapping(detail.get("freshness"))
    lines = [_with_name(name, str(state)) for name, state in servers.items() if state != "answers"]
    lines += [f"stopped: {part}: {reason}" for part, reason in _as_mapping(freshness.get("stops")).items()]
    lines += [f"shard {shard} is only partly written: `rta rebuild`" for shard in freshness.get("torn") or ()]
    lines += [f"{name}: {state}" for name, state in freshness.items() if name in ("unknown", "quarantined") and state]
    return lines


def _with_name(name: str, state: str) -> str:
    return state if state.startswith(f"{name}:") else f"{name}: {state}"


def _as_mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
