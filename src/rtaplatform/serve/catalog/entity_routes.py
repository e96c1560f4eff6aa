"""`/v1/users` and `/v1/products`: create, read, replace, merge patch, delete, list.   Stage 6 of 6.

The routes are the same for both; `catalog/entities/entity_types.py` has the differences. The project is that of the
key, so an entity of another project does not exist.
"""

from __future__ import annotations

from typing import Any

from litestar import Response, delete, get, patch, post, put
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from rtaplatform.catalog.entities import entity_rows, pages
from rtaplatform.catalog.entities.entity_rows import EntityRef
from rtaplatform.catalog.entities.entity_types import PRODUCT, USER, EntityType, render_row
from rtaplatform.catalog.entities.etags import make_etag
from rtaplatform.catalog.entities.fields import ID_SCHEMA, check_id, read_object, require_object
from rtaplatform.catalog.keys.key_format import CATALOG_READ, CATALOG_WRITE
from rtaplatform.core.errors import InvalidParameter
from rtaplatform.serve.catalog.catalog_docs import (
    describe_create,
    describe_delete,
    describe_list,
    describe_patch,
    describe_read,
    describe_replace,
)
from rtaplatform.serve.catalog.catalog_http import (
    PATCH_TYPES,
    answer,
    answer_list,
    answer_no_content,
    answer_read,
    decode_id,
    decode_new_id,
    find_condition,
    read_flag,
    read_json,
    read_question,
    run,
    write_location,
)
from rtaplatform.serve.catalog.erasure_routes import erase
from rtaplatform.serve.http.access import get_access
from rtaplatform.serve.http.dependencies import AnyRequest
from rtaplatform.serve.http.parameters import read_parameters


def make_read_routes(kind: EntityType) -> list[HTTPRouteHandler]:
    root, tags = f"/v1/{kind.plural}", [kind.plural]

    @get(
        root, opt={"scope": CATALOG_READ, "csv": True, "docs": describe_list(kind)}, tags=tags,
        summary=f"List {kind.plural}", operation_id=f"list{kind.plural.title()}",
    )  # fmt: skip
    async def list_all(request: AnyRequest) -> Response[bytes]:
        question = read_question(request, kind.filters, is_searched=True)
        check_filters(kind, question.filters)
        project_id = get_access(request).project_id
        page = await run(request, lambda connection: pages.list_page(connection, kind, project_id, question))
        return answer_list(request, [render_row(kind, row) for row in page.rows], kind.answer_fields, page.next_cursor)

    @get(
        f"{root}/{{id:str}}", opt={"scope": CATALOG_READ, "docs": describe_read(kind)}, tags=tags,
        summary=f"One {kind.name}", operation_id=f"read{kind.name.title()}",
    )  # fmt: skip
    async def read_one(request: AnyRequest, id: FromPath[str]) -> Response[bytes]:
        read_parameters(request, ())
        place = _make_ref(request, kind, id)
        row = await run(request, lambda connection: entity_rows.read(connection, place))
        return answer_read(request, render_row(kind, row), row.version)

    return [list_all, read_one]


def make_write_routes(kind: EntityType) -> list[HTTPRouteHandler]:
    root, tags = f"/v1/{kind.plural}", [kind.plural]

    @post(
        root, opt={"scope": CATALOG_WRITE, "docs": describe_create(kind)}, tags=tags,
        summary=f"Create a {kind.name}", operation_id=f"create{kind.name.title()}",
    )  # fmt: skip
    async def create(request: AnyRequest) -> Response[bytes]:
        read_parameters(request, ())
        body = require_object(await read_json(request), ["id", *kind.fields])
        if "id" not in body:
            raise InvalidParameter("`id` is missing.", field="id", allowed=ID_SCHEMA)
        id = check_id(body.pop("id"), kind.reserved)
        place, values = EntityRef(kind, get_access(request).project_id, id), read_object(body, kind.fields)
        row = await run(request, lambda connection: entity_rows.create(connection, place, values))
        return _answer(kind, row, 201, Location=write_location(kind.plural, id))

    @put(
        f"{root}/{{id:str}}", opt={"scope": CATALOG_WRITE, "docs": describe_replace(kind)}, tags=tags,
        summary=f"Create or replace a {kind.name}", operation_id=f"replace{kind.name.title()}",
    )  # fmt: skip
    async def replace(request: AnyRequest, id: FromPath[str]) -> Response[bytes]:
        read_parameters(request, ())
        place, condition = _make_new_ref(request, kind, id), find_condition(request)
        values = read_object(_without_id(await read_json(request), place.id), kind.fields)
        row, is_new = await run(request, lambda connection: entity_rows.replace(connection, place, values, condition))
        if is_new:
            return _answer(kind, row, 201, Location=write_location(kind.plural, place.id))
        return _answer(kind, row)

    @patch(
        f"{root}/{{id:str}}", opt={"scope": CATALOG_WRITE, "docs": describe_patch(kind)}, tags=tags,
        summary=f"Change a {kind.name} by JSON merge patch", operation_id=f"change{kind.name.title()}",
    )  # fmt: skip
    async def change(request: AnyRequest, id: FromPath[str]) -> Response[bytes]:
        read_parameters(request, ())
        place, condition = _make_ref(request, kind, id), find_condition(request)
        values = read_object(_without_id(await read_json(request, PATCH_TYPES), place.id), kind.fields)
        return _answer(
            kind, await run(request, lambda connection: entity_rows.patch(connection, place, values, condition))
        )

    return [create, replace, change, _make_delete_route(kind)]


def check_filters(kind: EntityType, filters: tuple[tuple[str, str], ...]) -> None:
    """Raise InvalidParameter if a filter has a value that its field can never hold."""
    for name, value in filters:
        values = kind.fields[name].schema.get("enum")
        if values is not None and value not in values:
            allowed = [choice for choice in values if choice is not None]
            raise InvalidParameter(f"`{name}` cannot be {value[:100]!r}.", field=name, allowed=allowed)


def _make_delete_route(kind: EntityType) -> HTTPRouteHandler:
    can_erase = kind is USER

    @delete(
        f"/v1/{kind.plural}/{{id:str}}", status_code=200, tags=[kind.plural], summary=f"Delete a {kind.name}",
        operation_id=f"delete{kind.name.title()}",
        opt={"scope": CATALOG_WRITE, "docs": describe_delete(kind, can_erase=can_erase)},
    )  # fmt: skip
    async def remove(request: AnyRequest, id: FromPath[str]) -> Response[bytes]:
        parameters = read_parameters(request, ("erase",) if can_erase else ())
        place, condition = _make_ref(request, kind, id), find_condition(request)
        if read_flag(parameters, "erase"):
            return answer(await erase(request, place.id, condition=condition))
        await run(request, lambda connection: entity_rows.delete(connection, place, condition))
        return answer_no_content()

    return remove


def _make_new_ref(request: AnyRequest, kind: EntityType, segment: str) -> EntityRef:
    return EntityRef(kind, get_access(request).project_id, decode_new_id(segment, kind.reserved))


def _make_ref(request: AnyRequest, kind: EntityType, segment: str) -> EntityRef:
    return EntityRef(kind, get_access(request).project_id, decode_id(segment))


def _without_id(body: Any, id: str) -> Any:
    """Return the body without its id, which must be the id of the path."""
    if not isinstance(body, dict) or "id" not in body:
        return body
    if body["id"] != id:
        raise InvalidParameter("The id of the body is not that of the path.", field="id", allowed=id)
    return {name: value for name, value in body.items() if name != "id"}


def _answer(kind: EntityType, row: Any, status: int = 200, **headers: str) -> Response[bytes]:
    return answer(render_row(kind, row), status, ETag=make_etag(row.version), **headers)


route_handlers: list[HTTPRouteHandler] = [
    route for kind in (USER, PRODUCT) for route in (*make_read_routes(kind), *make_write_routes(kind))
]
