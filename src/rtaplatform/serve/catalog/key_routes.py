"""`/v1/keys`: the keys of a project, for its administrators.   Stage 6 of 6."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Response, delete, get, patch, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from rtaplatform.catalog.entities.etags import make_etag
from rtaplatform.catalog.entities.fields import read_object, with_defaults
from rtaplatform.catalog.keys import key_admin
from rtaplatform.catalog.keys.key_admin import (
    CHANGEABLE,
    KEY_FIELDS,
    ROTATION_FIELDS,
    Key,
    KeyMaker,
    MadeKey,
    NewKey,
    render_key,
)
from rtaplatform.catalog.keys.key_format import ADMIN
from rtaplatform.core.errors import InvalidParameter
from rtaplatform.serve.catalog import project_docs as docs
from rtaplatform.serve.catalog.catalog_http import (
    PATCH_TYPES,
    answer,
    answer_list,
    answer_no_content,
    decode_id,
    find_condition,
    read_json,
    read_question,
    run,
    write_location,
)
from rtaplatform.serve.http.access import get_access
from rtaplatform.serve.http.dependencies import AnyRequest, find_dependencies
from rtaplatform.serve.http.parameters import read_parameters

TAGS = ["keys"]
REVOKED = ("exclude", "include")


@get(
    "/v1/keys", opt={"scope": ADMIN, "csv": True, "docs": docs.LIST_KEYS}, tags=TAGS, summary="List the project's keys"
)
async def list_keys(request: AnyRequest) -> Response[bytes]:
    """Only the first and last characters of a key are shown. `revoked=include` lists revoked keys too."""
    question = read_question(request, ("revoked",), is_searched=False)
    if dict(question.filters).get("revoked", "exclude") not in REVOKED:
        raise InvalidParameter("`revoked` is include or exclude.", field="revoked", allowed=list(REVOKED))
    project_id = get_access(request).project_id
    page = await run(request, lambda connection: key_admin.list_page(connection, project_id, question))
    items = [render_key(row) for row in page.rows]
    return answer_list(request, items, Key.__struct_fields__, page.next_cursor)


@post("/v1/keys", opt={"scope": ADMIN, "docs": docs.CREATE_KEY}, tags=TAGS, summary="Make a key")
async def create_key(request: AnyRequest) -> Response[bytes]:
    """`key` is the key itself: it is shown now and never again."""
    read_parameters(request, ())
    values = with_defaults(read_object(await read_json(request), KEY_FIELDS), KEY_FIELDS)
    project_id, new_key, maker = get_access(request).project_id, NewKey(**values), _make_key_maker(request)
    return _answer_made(await run(request, lambda connection: key_admin.create(connection, project_id, new_key, maker)))


@get("/v1/keys/{id:str}", opt={"scope": ADMIN, "docs": docs.READ_KEY}, tags=TAGS, summary="One key")
async def read_key(request: AnyRequest, id: FromPath[str]) -> Response[bytes]:
    read_parameters(request, ())
    project_id, key_id = get_access(request).project_id, decode_id(id)
    return _answer(await run(request, lambda connection: key_admin.read(connection, project_id, key_id)))


@patch(
    "/v1/keys/{id:str}", opt={"scope": ADMIN, "docs": docs.PATCH_KEY}, tags=TAGS,
    summary="Change a key's name or its end", operation_id="changeKey",
)  # fmt: skip
async def patch_key(request: AnyRequest, id: FromPath[str]) -> Response[bytes]:
    """Scopes cannot be changed, so that a key never opens more or less than its holder was told. Make another key."""
    read_parameters(request, ())
    project_id, key_id = get_access(request).project_id, decode_id(id)
    condition = find_condition(request)
    values = read_object(await read_json(request, PATCH_TYPES), CHANGEABLE)
    return _answer(
        await run(request, lambda connection: key_admin.patch(connection, project_id, key_id, values, condition))
    )


@post(
    "/v1/keys/{id:str}/rotate", opt={"scope": ADMIN, "docs": docs.ROTATE_KEY}, tags=TAGS,
    summary="Replace a key by a new one", status_code=201,
)  # fmt: skip
async def rotate_key(request: AnyRequest, id: FromPath[str]) -> Response[bytes]:
    """The new key gets the old one's name, scopes and end. The old one stays valid for `grace_seconds` (a day)."""
    read_parameters(request, ())
    project_id, key_id = get_access(request).project_id, decode_id(id)
    values = read_object(await read_json(request, is_optional=True), ROTATION_FIELDS)
    grace_seconds = with_defaults(values, ROTATION_FIELDS)["grace_seconds"]
    maker = _make_key_maker(request)
    return _answer_made(
        await run(request, lambda connection: key_admin.rotate(connection, project_id, key_id, grace_seconds, maker))
    )


@delete(
    "/v1/keys/{id:str}", opt={"scope": ADMIN, "docs": docs.REVOKE_KEY}, tags=TAGS, summary="Revoke a key",
    status_code=200,
)  # fmt: skip
async def revoke_key(request: AnyRequest, id: FromPath[str]) -> Response[bytes]:
    """Every process refuses the key within 60 s."""
    read_parameters(request, ())
    project_id, key_id = get_access(request).project_id, decode_id(id)
    condition = find_condition(request)
    await run(request, lambda connection: key_admin.revoke(connection, project_id, key_id, condition))
    return answer_no_content()


route_handlers: list[HTTPRouteHandler] = [list_keys, create_key, read_key, patch_key, rotate_key, revoke_key]


def _make_key_maker(request: AnyRequest) -> KeyMaker:
    return KeyMaker(get_access(request).scopes, find_dependencies(request).limits.keys_per_project_max)


def _answer(row: Any) -> Response[bytes]:
    return answer(render_key(row), ETag=make_etag(row.version))


def _answer_made(made_key: MadeKey) -> Response[bytes]:
    content = {**msgspec.to_builtins(render_key(made_key.row)), "key": made_key.key}
    return answer(content, 201, ETag=make_etag(made_key.row.version), Location=write_location("keys", made_key.row.id))
