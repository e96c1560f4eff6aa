"""The application of the API.   Stage 6 of 6.   `wiring/api.py` makes its parts, `cli/commands/api.py` serves it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.openapi import OpenAPIConfig
from litestar.types import ControllerRouterHandler

from rtaplatform import __version__
from rtaplatform.serve import ops_routes
from rtaplatform.serve.catalog import entity_routes, erasure_routes, import_routes, key_routes, project_routes
from rtaplatform.serve.collect import collect_routes
from rtaplatform.serve.dashboard import dashboard_routes
from rtaplatform.serve.dashboard.dashboard_files import read_dashboard
from rtaplatform.serve.docs_page import docs_routes
from rtaplatform.serve.docs_page.docs_routes import DocsPage, complete_docs_response
from rtaplatform.serve.feed import feed_routes, letter_routes
from rtaplatform.serve.http.access import check_access
from rtaplatform.serve.http.dependencies import Dependencies
from rtaplatform.serve.http.parameters import refuse_unreadable_query
from rtaplatform.serve.http.problems import answer_problem
from rtaplatform.serve.middleware import wrap_application
from rtaplatform.serve.openapi.document import make_document
from rtaplatform.serve.openapi.operation_ids import name_operation
from rtaplatform.serve.query import engagement_routes, live_routes, product_routes, query_routes
from rtaplatform.serve.session import session_routes
from rtaplatform.serve.socket import socket_routes
from rtaplatform.settings import ApiHalf

DESCRIPTION = (
    "Collects events, keeps live totals of them, and answers by query or by push. Keys go in "
    "`Authorization: Bearer KEY`; the project comes from the key."
)


def create_app(parts: Dependencies) -> Litestar:
    """Make the application, whole or one half. It opens nothing before its lifespan begins."""
    return attach_parts(make_routes(parts.settings.only, parts.intake.body_bytes_max), parts)


def make_routes(only: ApiHalf | None, body_bytes_max: int) -> Litestar:
    """Make an application that has its routes but no parts. That takes a fifth of a second."""
    return Litestar(
        route_handlers=_list_route_handlers(only),
        guards=[check_access, refuse_unreadable_query],
        exception_handlers={Exception: answer_problem},
        lifespan=[_running_parts],
        openapi_config=_configure_openapi(),
        request_max_body_size=body_bytes_max,
        debug=False,
        logging_config=None,
        pdb_on_exception=False,
    )


def attach_parts(app: Litestar, parts: Dependencies) -> Litestar:
    """Give the parts to an application that has none, and return it."""
    app.state = State({"parts": parts, "dashboard": read_dashboard()})
    app.asgi_handler = wrap_application(app.asgi_handler, parts)
    return app


def _list_route_handlers(only: ApiHalf | None) -> list[ControllerRouterHandler]:
    collecting = [] if only is ApiHalf.QUERY else collect_routes.route_handlers
    asking = [] if only is ApiHalf.COLLECT else _list_query_handlers()
    return [*ops_routes.route_handlers, *docs_routes.route_handlers, *collecting, *asking]


def _list_query_handlers() -> list[ControllerRouterHandler]:
    return [
        *query_routes.route_handlers,
        *product_routes.route_handlers,
        *engagement_routes.route_handlers,
        *live_routes.route_handlers,
        *feed_routes.route_handlers,
        *letter_routes.route_handlers,
        *entity_routes.route_handlers,
        *import_routes.route_handlers,
        *erasure_routes.route_handlers,
        *project_routes.route_handlers,
        *key_routes.route_handlers,
        *session_routes.route_handlers,
        *socket_routes.route_handlers,
        *dashboard_routes.route_handlers,
    ]


@asynccontextmanager
async def _running_parts(app: Litestar) -> AsyncIterator[None]:
    parts: Dependencies = app.state["parts"]
    make_document(app)  # takes a fifth of a second: no request has to wait for it
    async with parts.lifespan():
        yield


def _configure_openapi() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="RTAPlatform",
        version=__version__,
        description=DESCRIPTION,
        use_handler_docstrings=True,
        operation_id_creator=name_operation,
        render_plugins=[DocsPage()],
        openapi_router=Router(
            "/docs",
            route_handlers=[],
            opt=ops_routes.OPEN,
            include_in_schema=False,
            after_request=complete_docs_response,
        ),
    )
