"""Query parameters: an unknown one is an error that names what there is, so that a slip is not an empty answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from litestar.connection import ASGIConnection

from rtaplatform.core.errors import InvalidParameter


def reject_unknown(request: ASGIConnection[Any, Any, Any, Any], allowed: Iterable[str]) -> None:
    """Raise InvalidParameter for the first query parameter that is not in `allowed`."""
    names = sorted(allowed)
    for name in request.query_params:
        if name not in names:
            said = "This route takes no parameters." if not names else f"There is no parameter `{name[:100]}` here."
            raise InvalidParameter(said, field=name[:100], allowed=names)
