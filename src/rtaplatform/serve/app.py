"""The API: routes, access, errors.   Stage 6 of 6; `wiring.py` makes the parts, `cli/api.py` serves it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from litestar import Litestar, Response, Router
from litestar.datastructures import State
from litestar.exceptions import NotFoundException
from litestar.openapi import OpenAPIConfig
from litestar.types import ControllerRouterHandler

from rtaplatform import __version__
from rtaplatform.serve import (
    catalog_erasures,
    catalog_import,
    catalog_keys,
    catalog_projects,
    catalog_things,
    collecting,
    live,
    metrics,
    operating,
)
from rtaplatform.serve.access import check_access
from rtaplatform.serve.edge import at_the_edge
from rtaplatform.serve.openapi import document_of
from rtaplatform.serve.parameters import refuse_unreadable_query
from rtaplatform.serve.parts import Parts
from rtaplatform.serve.problems import answer_problem

DESCRIPTION = (
    "Collects events, keeps live totals of them, and answers by query or by push. Keys go in "
    "`Authorization: Bearer KEY`; the project comes from the key."
)


def create_app(parts: Parts) -> Litestar:
    """The application, not yet started: nothing is opened before its lifespan begins."""
    app = Litestar(
        route_handlers=_route_handlers(),
        state=State({"parts": parts}),
        guards=[check_access, refuse_unreadable_query],
        exception_handlers={Exception: answer_problem},
        lifespan=[_lifespan],
        openapi_config=_openapi(),
        request_max_body_size=parts.collect.batch_bytes_max,
        debug=False,
        logging_config=None,
        pdb_on_exception=False,
    )
    document_of(app)
    app.asgi_handler = at_the_edge(app.asgi_handler, parts)
    return app


def _route_handlers() -> list[ControllerRouterHandler]:
    return [
        *operating.route_handlers,
        *collecting.route_handlers,
        *metrics.route_handlers,
        *live.route_handlers,
        *catalog_things.route_handlers,
        *catalog_import.route_handlers,
        *catalog_erasures.route_handlers,
        *catalog_projects.route_handlers,
        *catalog_keys.route_handlers,
    ]


@asynccontextmanager
async def _lifespan(app: Litestar) -> AsyncIterator[None]:
    parts: Parts = app.state["parts"]
    async with parts.lifespan():
        yield


def _openapi() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="RTAPlatform",
        version=__version__,
        description=DESCRIPTION,
        use_handler_docstrings=True,
        render_plugins=[operating.DocsPage()],
        openapi_router=Router(
            "/docs", route_handlers=[], opt=operating.OPEN, include_in_schema=False, after_request=_refuse_unknown_page
        ),
    )


def _refuse_unknown_page(response: Response[Any]) -> Response[Any]:
    """The framework answers unknown pages below /docs in HTML of its own."""
    if response.status_code == 404:
        raise NotFoundException
    return response
