"""`/v1/erasures`: erase a person, with or without a profile; list the receipts.   Stage 6 of 6."""

from __future__ import annotations

from typing import Any

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler

from rtaplatform.catalog.entities import pages
from rtaplatform.catalog.entities.etags import Condition
from rtaplatform.catalog.entities.fields import ERASURE_FIELDS, read_object
from rtaplatform.catalog.keys.key_format import CATALOG_WRITE
from rtaplatform.core.errors import InvalidParameter
from rtaplatform.profiles.erasure_receipt import PersonToErase, show_receipt
from rtaplatform.serve.catalog.catalog_docs import ERASE_PERSON, LIST_ERASURES
from rtaplatform.serve.catalog.catalog_http import answer, answer_list, read_json, read_question, run
from rtaplatform.serve.http.access import get_access
from rtaplatform.serve.http.dependencies import AnyRequest, require_catalog_services
from rtaplatform.serve.http.parameters import read_parameters

TAGS = ["erasures"]
COLUMNS = ("id", "project", "user_id", "erased_at", "removed", "remains")


@post(
    "/v1/erasures", status_code=200, opt={"scope": CATALOG_WRITE, "docs": ERASE_PERSON}, tags=TAGS,
    summary="Erase a person",
)  # fmt: skip
async def erase_person(request: AnyRequest) -> Response[bytes]:
    """By the user's id, by anonymous ids, or by both. The answer is the receipt."""
    read_parameters(request, ())
    values = read_object(await read_json(request), ERASURE_FIELDS)
    user_id, anonymous_ids = values.get("user_id"), values.get("anonymous_ids") or ()
    if user_id is None and not anonymous_ids:
        detail = "`user_id` or `anonymous_ids` is needed."
        raise InvalidParameter(detail, field="user_id", allowed=ERASURE_FIELDS["user_id"].schema)
    return answer(await erase(request, user_id, tuple(anonymous_ids)))


@get(
    "/v1/erasures", opt={"scope": CATALOG_WRITE, "docs": LIST_ERASURES}, tags=TAGS, summary="List the receipts",
)  # fmt: skip
async def list_erasures(request: AnyRequest) -> Response[bytes]:
    """In the receipt of an erasure that is not complete yet, `removed` is null."""
    question = read_question(request, ("user_id",), is_searched=False, sorts=pages.TIME_SORTS)
    access = get_access(request)
    page = await run(request, lambda connection: pages.list_erasures(connection, access.project_id, question))
    return answer_list(request, [show_receipt(row, access.project) for row in page.rows], COLUMNS, page.next_cursor)


route_handlers: list[HTTPRouteHandler] = [list_erasures, erase_person]


async def erase(
    request: AnyRequest, user_id: str | None, anonymous_ids: tuple[str, ...] = (), condition: Condition | None = None
) -> dict[str, Any]:
    """Erase a person and return the receipt. Raises PreconditionFailed, Unavailable."""
    access = get_access(request)
    person = PersonToErase(access.project, access.project_id, user_id, anonymous_ids)
    return await require_catalog_services(request).erasure.erase(person, condition)
