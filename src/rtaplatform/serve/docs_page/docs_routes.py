"""`/docs`, the page about the API, and its script.   Stage 6 of 6."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import Any

from litestar import MediaType, Response, get
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.plugins import OpenAPIRenderPlugin

from rtaplatform.serve.docs_page.docs_html import SCRIPT_PATH, write_docs
from rtaplatform.serve.docs_page.page_style import DOCS_POLICY
from rtaplatform.serve.http.dependencies import AnyRequest
from rtaplatform.serve.http.static_files import StaticFile, answer_file, make_static_file
from rtaplatform.serve.openapi.document import make_document

_SCRIPT_TYPE = "text/javascript; charset=utf-8"


class DocsPage(OpenAPIRenderPlugin):
    """The API's description as one page, without content of other sites."""

    def __init__(self) -> None:
        super().__init__(path="/", media_type=MediaType.HTML)
        self._page: bytes | None = None

    def render(self, request: AnyRequest, openapi_schema: dict[str, Any]) -> bytes:
        """Return the page. It is written once: everybody may request it as often as they like."""
        if self._page is None:
            self._page = write_docs(make_document(request.app)).encode()
        return self._page


def complete_docs_response(response: Response[Any]) -> Response[Any]:
    """Let the page load its script. Turn the framework's HTML for unknown pages below /docs into a problem document."""
    if response.status_code == 404:
        raise NotFoundException
    response.headers.setdefault("Content-Security-Policy", DOCS_POLICY)
    return response


@get(SCRIPT_PATH, opt={"scope": None}, media_type=_SCRIPT_TYPE, include_in_schema=False)
async def docs_script(request: AnyRequest) -> Response[bytes]:
    return answer_file(request, _read_script(), {"Cache-Control": "no-cache"})


route_handlers: list[HTTPRouteHandler] = [docs_script]


@lru_cache(maxsize=1)
def _read_script() -> StaticFile:
    return make_static_file(files("rtaplatform.serve.docs_page").joinpath("try.js").read_bytes(), _SCRIPT_TYPE)
