"""The dashboard's pages: one shell for all page paths, and the assets that it loads.   Stage 6 of 6.

Only known page paths give the shell. Any other path is a 404 as before: HTML in place of a script would be a white
page. The content security policy allows our own files only: no inline script or style, no other host, no frame.
"""

from __future__ import annotations

from litestar import Response, get
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response import Redirect

from rtaplatform.serve.dashboard.dashboard_files import DashboardFiles
from rtaplatform.serve.http.dependencies import AnyRequest
from rtaplatform.serve.http.static_files import answer_file

PAGE_PATHS = [
    "/",
    "/overview",
    "/products",
    "/products/{id:str}",
    "/engagement",
    "/explore",
    "/feed",
    "/catalog",
    "/catalog/{rest:path}",
    "/settings",
    "/settings/{rest:path}",
]
WALL_PATH = "/wall"
ASSET_PATH = "/assets/{name:str}"
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    "trusted-types 'none'"
)
_SHELL_HEADERS = {"Cache-Control": "no-cache", "Content-Security-Policy": PAGE_POLICY}
_ASSET_HEADERS = {"Cache-Control": "public, max-age=31536000, immutable"}


@get(PAGE_PATHS, opt={"scope": None}, include_in_schema=False)
async def page(request: AnyRequest) -> Response[bytes]:
    """Any query is accepted: the page itself reads it."""
    shell = _find_files(request).shell
    if shell is None:
        raise NotFoundException
    return answer_file(request, shell, _SHELL_HEADERS)


@get(WALL_PATH, opt={"scope": None}, include_in_schema=False)
async def show_wall(request: AnyRequest) -> Redirect:
    """The wall is a form of the overview. This path is for people who type it; their query stays."""
    if _find_files(request).shell is None:
        raise NotFoundException
    query = request.scope["query_string"].decode("latin-1")
    return Redirect(f"/?wall=1&{query}" if query else "/?wall=1")


@get(ASSET_PATH, opt={"scope": None}, include_in_schema=False)
async def asset(request: AnyRequest, name: FromPath[str]) -> Response[bytes]:
    file = _find_files(request).assets.get(name)
    if file is None:
        raise NotFoundException
    return answer_file(request, file, _ASSET_HEADERS)


route_handlers: list[HTTPRouteHandler] = [page, show_wall, asset]


def _find_files(request: AnyRequest) -> DashboardFiles:
    dashboard: DashboardFiles = request.app.state["dashboard"]
    return dashboard
