"""What every response gets: headers that keep browsers safe, what remains of a limit, and a count in the signals."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Any

from prometheus_client import Counter, Histogram

from rtaplatform import telemetry
from rtaplatform.serve.docs_page.page_style import PAGE_POLICY
from rtaplatform.serve.http.cors import Headers

_SAFE: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cache-control", b"no-store"),
    (b"server", b"rta"),  # otherwise the server adds its own name
]
_API_POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
_PAGE_POLICY = (b"content-security-policy", PAGE_POLICY.encode())
HEADERS_OF_DATA: Headers = [*_SAFE, _API_POLICY]


def with_safe_headers(headers: Headers) -> Headers:
    """The headers with the safe ones that are not among them."""
    present = {name.lower() for name, _ in headers}
    is_page = any(name.lower() == b"content-type" and value.startswith(b"text/html") for name, value in headers)
    additions = [*_SAFE, _PAGE_POLICY if is_page else _API_POLICY]
    return headers + [header for header in additions if header[0] not in present]


def make_limit_headers(scope: Any) -> Headers:
    """Make the headers that tell what remains of the key's limit. A refusal has them already."""
    allowance = scope.get("state", {}).get("allowance")
    if allowance is None:
        return []
    return [
        (b"ratelimit-limit", b"%d" % allowance.limit),
        (b"ratelimit-remaining", b"%d" % allowance.remaining),
        (b"ratelimit-reset", b"%d" % allowance.reset_seconds),
    ]


def count_response(route: str, status: int, start_s: float) -> None:
    """Add a response to the signals; `start_s` is when its request began."""
    requests, seconds = _find_signals(route, status)
    requests.inc()
    seconds.observe(time.perf_counter() - start_s)


@lru_cache(maxsize=2_000)
def _find_signals(route: str, status: int) -> tuple[Counter, Histogram]:
    return telemetry.HTTP_REQUESTS.labels(route, str(status)), telemetry.HTTP_SECONDS.labels(route)
