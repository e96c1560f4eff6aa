"""The application of the API.   Stage 6 of 6.   `wiring.py` makes its parts, `cli/commands/api.py` serves it."""

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
from rtaplatform.serve import ops_routes
from rtaplatform.serve.catalog import entity_routes, erasure_routes, import_routes, key_routes, project_routes
from rtaplatform.serve.collect import collect_routes
from rtaplatform.serve.http.access import check_access
from rtaplatform.serve.http.dependencies import Dependencies
from rtaplatform.serve.http.parameters import refuse_unreadable_query
from rtaplatform.serve.http.problems import answer_problem
from rtaplatform.serve.middleware import wrap_application
from rtaplatform.serve.openapi.document import document_of
from rtaplatform.serve.query import engagement_routes, live_routes, product_routes, query_routes
from rtaplatform.settings import ApiHalf

DESCRIPTION = (
    "Collects events, keeps live totals of them, and answers by query or by push. Keys go in "
    "`Authorization: Bearer KEY`; the project comes from the key."
)


def create_app(parts: Dependencies) -> Litestar:
    """Make the application, whole or one half. It opens nothing before its lifespan begins."""
    app = Litestar(
        route_handlers=_route_handlers(parts.settings.only),
        state=State({"parts": parts}),
        guards=[check_access, refuse_unreadable_query],
        exception_handlers={Exception: answer_problem},
        lifespan=[_lifespan],
        openapi_config=_openapi(),
        request_max_body_size=parts.intake.body_bytes_max,
        debug=False,
        logging_config=None,
        pdb_on_exception=False,
    )
    document_of(app)
    app.asgi_handler = wrap_application(app.asgi_handler, parts)
    return app


def _route_handlers(only: ApiHalf | None) -> list[ControllerRouterHandler]:
    collecting = [] if only is ApiHalf.QUERY else collect_routes.route_handlers
    asking = [] if only is ApiHalf.COLLECT else _query_handlers()
    return [*ops_routes.route_handlers, *collecting, *asking]


def _query_handlers() -> list[ControllerRouterHandler]:
    return [
        *query_routes.route_handlers,
        *product_routes.route_handlers,
        *engagement_routes.route_handlers,
        *live_routes.route_handlers,
        *entity_routes.route_handlers,
        *import_routes.route_handlers,
        *erasure_routes.route_handlers,
        *project_routes.route_handlers,
        *key_routes.route_handlers,
    ]


@asynccontextmanager
async def _lifespan(app: Litestar) -> AsyncIterator[None]:
    parts: Dependencies = app.state["parts"]
    async with parts.lifespan():
        yield


def _openapi() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="RTAPlatform",
        version=__version__,
        description=DESCRIPTION,
        use_handler_docstrings=True,
        render_plugins=[ops_routes.DocsPage()],
        openapi_router=Router(
            "/docs", route_handlers=[], opt=ops_routes.OPEN, include_in_schema=False, after_request=_refuse_unknown_page
        ),
    )


def _refuse_unknown_page(response: Response[Any]) -> Response[Any]:
    """Turn the framework's HTML for unknown pages below /docs into a problem document."""
    if response.status_code == 404:
        raise NotFoundException
    return response
