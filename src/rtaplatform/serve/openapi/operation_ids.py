"""Name the operations of the OpenAPI document: generators of clients make functions of these names.

An operation has its handler's name, in camelCase. A handler that serves several paths names the one that has its name;
the others have their path after it: `collectTrack`, `collectTrackAtV1T`.
"""

from __future__ import annotations

import re

from litestar.handlers import HTTPRouteHandler
from litestar.types import Method, OperationIDCreator
from litestar.types.internal_types import PathParameterDefinition

Path = list[str | PathParameterDefinition]


def name_operation(handler: HTTPRouteHandler, method: Method, path: Path) -> str:
    """Name the operation of a handler that has one path."""
    return _to_camel_case(handler.handler_name)


def name_by_path(name: str, main_path: str) -> OperationIDCreator:
    """Make what names the operations of a handler with several paths, the first of which is `main_path`."""

    def name_one(handler: HTTPRouteHandler, method: Method, path: Path) -> str:
        whole = "/".join(["", *(part if isinstance(part, str) else part.name for part in path)])
        return name if whole == main_path else f"{name}At{_to_pascal_case(whole)}"

    return name_one


def _to_pascal_case(text: str) -> str:
    return "".join(word[0].upper() + word[1:] for word in re.findall("[A-Za-z0-9]+", text))


def _to_camel_case(text: str) -> str:
    pascal = _to_pascal_case(text)
    return pascal[0].lower() + pascal[1:]
