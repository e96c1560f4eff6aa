"""Read query parameters. An unknown one is an error that lists the known ones: a typo must not give an empty answer.

Bytes that are not UTF-8 are refused for the same reason: decoded as U+FFFD they would be a value that nobody sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

from litestar.connection import ASGIConnection
from litestar.exceptions import ClientException
from litestar.handlers import BaseRouteHandler

from rtaplatform.core.errors import InvalidParameter

LIMIT_DIGITS_MAX = 6


def read_parameters(request: ASGIConnection[Any, Any, Any, Any], allowed: Sequence[str]) -> dict[str, str]:
    """Read the parameters: each must be among `allowed` and occur once. Raises InvalidParameter."""
    values: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in allowed:
            raise InvalidParameter.unknown(name, allowed)
        if name in values:
            raise InvalidParameter(f"`{name}` is given twice.", field=name, hint="Give it once.")
        values[name] = value
    return values


def read_limit(parameters: Mapping[str, str], default: int, largest: int) -> int:
    """Read `limit`, from 1 to `largest`. Raises InvalidParameter."""
    text = parameters.get("limit", str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= LIMIT_DIGITS_MAX and 1 <= int(text) <= largest):
        raise InvalidParameter(f"`limit` cannot be {text[:100]!r}.", field="limit", allowed=f"1 to {largest}")
    return int(text)


async def refuse_unreadable_query(request: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """A guard: raise ClientException if the query is not UTF-8. Collecting reads no text from its query."""
    query: bytes = request.scope["query_string"]
    if not query or handler.opt.get("scope") in (None, "collect"):
        return
    try:
        unquote_to_bytes(query).decode()
    except UnicodeDecodeError:
        raise ClientException("The query is not UTF-8: percent-encode its characters as UTF-8.") from None
