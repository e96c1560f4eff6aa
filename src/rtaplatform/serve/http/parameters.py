"""Query parameters: an unknown one is an error that names what there is, so that a slip is not an empty answer.

Bytes that are not UTF-8 are refused for the same reason: read as U+FFFD they would ask for a value that nobody sent.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote_to_bytes

from litestar.connection import ASGIConnection
from litestar.exceptions import ClientException
from litestar.handlers import BaseRouteHandler

from rtaplatform.core.errors import InvalidParameter


def reject_unknown(request: ASGIConnection[Any, Any, Any, Any], allowed: Iterable[str]) -> None:
    """Raise InvalidParameter for the first query parameter that is not in `allowed`."""
    names = sorted(allowed)
    for name in request.query_params:
        if name not in names:
            said = "This route takes no parameters." if not names else f"There is no parameter `{name[:100]}` here."
            raise InvalidParameter(said, field=name[:100], allowed=names)


async def refuse_unreadable_query(request: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """A guard: raise ClientException where the query is not UTF-8. Collecting reads no text of its query."""
    query: bytes = request.scope["query_string"]
    if not query or handler.opt.get("scope") in (None, "collect"):
        return
    try:
        unquote_to_bytes(query).decode()
    except UnicodeDecodeError:
        raise ClientException("The query is not UTF-8: percent-encode its characters as UTF-8.") from None
