"""CORS: which origins may send events, which may query, and the response headers that allow it.

Pages of any origin may send events, with credentials or without (beacons have them). If a project lists its origins,
only these may. Metrics, queries and live streams are open to listed origins only. A preflight has no key, so it is
allowed to origins that any project lists; the request itself is then checked by its own project.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from rtaplatform.core.origins import ORIGIN_CHARS_MAX, allows

Headers = list[tuple[bytes, bytes]]
PREFLIGHT_SECONDS = b"86400"
_HEADER_LIST = re.compile(rb"[A-Za-z0-9, -]{1,1000}")
_USUAL_HEADERS = b"anonymousid, authorization, content-encoding, content-type, sentat, x-retry-count"
_EXPOSED = (
    b"access-control-expose-headers",
    b"Retry-After, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, X-RateLimit-Reset",
)
_VARY: Headers = [(b"vary", b"Origin")]
_QUERYING = ("/v1/metrics", "/v1/query", "/v1/live")


class CorsOrigins:
    """The origins that projects list, kept up to date by `ProjectPublisher`. A project that lists none is not here."""

    def __init__(self, by_project: Mapping[str, Sequence[str]] | None = None) -> None:
        self.replace(by_project or {})

    def replace(self, by_project: Mapping[str, Sequence[str]]) -> None:
        self._by_project = {project: tuple(entries) for project, entries in by_project.items() if entries}
        self.is_known = lru_cache(maxsize=1_000)(self._is_known)

    def may_send(self, project: str, origin: str) -> bool:
        """Whether pages of this origin may send events to the project."""
        entries = self._by_project.get(project)
        return entries is None or _is_listed(entries, origin)

    def may_ask(self, project: str, origin: str) -> bool:
        return _is_listed(self._by_project.get(project, ()), origin)

    def _is_known(self, origin: str) -> bool:
        """Whether any project lists the origin."""
        return any(_is_listed(entries, origin) for entries in self._by_project.values())


def _is_listed(entries: Sequence[str], origin: str) -> bool:
    return len(origin) <= ORIGIN_CHARS_MAX and any(allows(entry, origin) for entry in entries)


def is_querying(path: str) -> bool:
    """Whether the path is open to pages of listed origins."""
    return path.startswith(_QUERYING) and any(path == prefix or path.startswith(f"{prefix}/") for prefix in _QUERYING)


def make_collect_headers(origin: bytes | None) -> Headers:
    """Make the headers of a response to events. Without them a page would see a failed network and send again."""
    if origin is None:
        return [(b"access-control-allow-origin", b"*"), _EXPOSED]
    return [*_allow(origin), (b"access-control-allow-credentials", b"true"), _EXPOSED, *_VARY]


def make_query_headers(origin: bytes | None, *, may_ask: bool) -> Headers:
    if origin is None or not may_ask:
        return _VARY
    return [*_allow(origin), _EXPOSED, *_VARY]


def make_preflight_headers(header_names: bytes) -> Headers:
    """Make the other headers of a preflight response. `header_names` is its Access-Control-Request-Headers."""
    return [
        (b"access-control-allow-methods", b"POST, GET, OPTIONS"),
        (b"access-control-allow-headers", header_names if _HEADER_LIST.fullmatch(header_names) else _USUAL_HEADERS),
        (b"access-control-max-age", PREFLIGHT_SECONDS),
        (b"vary", b"Access-Control-Request-Headers"),
        (b"content-length", b"0"),
    ]


def _allow(origin: bytes) -> Headers:
    return [(b"access-control-allow-origin", origin)]
