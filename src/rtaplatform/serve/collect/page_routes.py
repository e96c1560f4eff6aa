"""What web pages load before they send: our tracker `rta.js`, and the settings of Segment's SDK.   Stage 6 of 6.

Both are open to every page, and the same for every key. `rta.js` is built from `web/tracker` and committed, so that a
checkout starts without Node; `tests/web` proves that the sources still give these bytes.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.resources import files
from typing import Any
from urllib.parse import unquote

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from rtaplatform.core.errors import MalformedRequest
from rtaplatform.serve.collect.collect_docs import SETTINGS_DOCS, TRACKER_DOCS
from rtaplatform.serve.http.dependencies import AnyRequest
from rtaplatform.serve.http.static_files import StaticFile, answer_file, make_static_file

# Pages get a new tracker within ten minutes of an update; after that they ask with an ETag.
CACHE_CONTROL = "public, max-age=600, must-revalidate"
_MEDIA_TYPE = "text/javascript"  # the framework adds the charset
_HOST = re.compile(r"(?:[A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]{1,100}){0,10}")


@lru_cache(maxsize=1)
def read_tracker() -> StaticFile:
    return make_static_file(files("rtaplatform.serve.collect").joinpath("rta.js").read_bytes(), _MEDIA_TYPE)


@get(
    "/rta.js",
    opt={"scope": None, "docs": TRACKER_DOCS},
    media_type=_MEDIA_TYPE,
    operation_id="readTracker",
    summary="Our tracker for web pages",
    description="A page loads it by one script element with `data-key`.",
    tags=["collect"],
)
async def tracker(request: AnyRequest) -> Response[bytes]:
    """Unknown query parameters are accepted: pages name versions by them."""
    headers = {
        "Cache-Control": CACHE_CONTROL,
        "Access-Control-Allow-Origin": "*",  # for `crossorigin` and `integrity`
        "Cross-Origin-Resource-Policy": "cross-origin",
    }
    return answer_file(request, read_tracker(), headers)


@get(
    "/v1/projects/{write_key:str}/settings",
    opt={"scope": None, "docs": SETTINGS_DOCS},
    operation_id="readBrowserSettings",
    summary="What a browser SDK asks before it sends",
    tags=["collect"],
)
async def browser_settings(write_key: FromPath[str], request: AnyRequest) -> dict[str, Any]:
    """The same for every key, so that nobody can find out which keys exist.

    Without `apiHost` Segment's SDK would send to Segment, and its own measurements without `metrics`.
    """
    host, protocol = _find_address(request)
    integration = {"apiKey": unquote(write_key), "apiHost": f"{host}/v1", "protocol": protocol}
    return {"integrations": {"Segment.io": integration}, "metrics": {"host": f"{host}/v1", "sampleRate": 0}}


route_handlers: list[HTTPRouteHandler] = [tracker, browser_settings]


def _find_address(request: AnyRequest) -> tuple[str, str]:
    """Return the host, with a proxy's prefix, and the protocol by which the page reached us. Raises MalformedRequest.

    The headers of any proxy are believed: whoever sends them changes nothing but their own answer.
    """
    headers = request.headers
    host = headers.get("x-forwarded-host", "").split(",")[0].strip() or headers.get("host", "")
    prefix = headers.get("x-forwarded-prefix", "").rstrip("/")
    if not _HOST.fullmatch(host) or not _PREFIX.fullmatch(prefix):
        raise MalformedRequest("The host that was asked cannot be read.", field="Host")
    protocol = headers.get("x-forwarded-proto", "").split(",")[0].strip().lower()
    # A page of https may call nothing else, whatever a proxy has left out.
    if headers.get("origin", "").startswith("https:") and not host.startswith(("localhost", "127.0.0.1", "[::1]")):
        protocol = "https"
    return host + prefix, protocol if protocol in ("http", "https") else request.url.scheme
