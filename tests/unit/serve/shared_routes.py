"""The application of a test. Tests share its routes, which take a fifth of a second; its parts are the test's own."""

from __future__ import annotations

from copy import copy
from functools import cache

from litestar import Litestar

from rtaplatform.serve.app import attach_parts, make_routes
from rtaplatform.serve.http.dependencies import Dependencies

_make_routes_once = cache(make_routes)


def share_routes(parts: Dependencies) -> Litestar:
    """The application that `create_app` makes."""
    return attach_parts(copy(_make_routes_once(parts.settings.only, parts.intake.body_bytes_max)), parts)
