"""Helpers that the catalog's routes share: bodies, ids, conditions, responses.   Stage 6 of 6."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote, unquote_to_bytes, urlencode

import msgspec
from litestar import Response

from rtaplatform.catalog.entities.etags import Condition, is_current, make_etag, read_condition
from rtaplatform.catalog.entities.fields import ID_SCHEMA, STORED_ID_BYTES_MAX, check_id, decode_with_id
from rtaplatform.catalog.entities.pages import LIMIT_DEFAULT, LIMIT_MAX, SEARCH_CHARS_MAX, SORTS, PageQuestion
from rtaplatform.core.errors import InvalidParameter, UnreadableBody, UnsupportedType
from rtaplatform.serve.http.bodies import read_body
from rtaplatform.serve.http.csv_tables import META_HEADER, answer_table, wants_csv, write_objects
from rtaplatform.serve.http.dependencies import AnyRequest, require_catalog_services
from rtaplatform.serve.http.parameters import read_limit, read_parameters

T = TypeVar("T")
BODY_BYTES_MAX = 256 * 1024
FORM = "Send one JSON object of at most 256 KiB, in UTF-8, gzipped or not."
JSON_TYPES = ("application/json",)
PATCH_TYPES = ("application/merge-patch+json", "application/json")
CHARSETS = ("utf-8", "utf8", "us-ascii", "utf-16", "utf-16le", "utf-16be")
_CHARSET = re.compile(r"""charset\s*=\s*["']?([^\s"';]+)""", re.IGNORECASE)
PAGE_PARAMETERS = ("limit", "cursor", "sort")
_encode = msgspec.json.Encoder().encode


def decode_id(segment: str) -> str:
    """Decode an id from a path segment. Raises InvalidParameter."""
    try:
        id = unquote_to_bytes(segment.encode()).decode()
    except UnicodeDecodeError:
        raise InvalidParameter("The id is not UTF-8, percent-encoded.", field="id") from None
    if not id or "\x00" in id or len(id) > STORED_ID_BYTES_MAX:
        raise InvalidParameter("An id has 1 to 256 bytes, and no control characters.", field="id", allowed=ID_SCHEMA)
    return id


def decode_new_id(segment: str, reserved_ids: frozenset[str]) -> str:
    """Decode the id of an entity that may be created. Raises InvalidParameter."""
    return check_id(decode_id(segment), reserved_ids)


async def run(request: AnyRequest, work: Callable[[Any], T], *, seconds: float | None = None) -> T:
    """Run `work` in a transaction. Raises Unavailable."""
    return await require_catalog_services(request).database.run(work, seconds=seconds)


async def read_json(request: AnyRequest, types: tuple[str, ...] = JSON_TYPES, *, is_optional: bool = False) -> Any:
    """Read the JSON body. Raises UnreadableBody, UnsupportedEncoding, UnsupportedType."""
    check_type(request, types)
    body = await read_body(request.receive, request.headers.get("content-encoding"), BODY_BYTES_MAX)
    if not body:
        if is_optional:
            return {}
        raise UnreadableBody("The body is empty.", hint=FORM)
    try:
        return decode_with_id(body)
    except RecursionError:
        raise UnreadableBody("The body is nested too deeply.", hint=FORM) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnreadableBody(f"The body is not JSON: {str(error)[:200]}", hint=FORM) from None


def check_type(request: AnyRequest, types: tuple[str, ...], *, hint: str | None = None) -> str:
    """Return the Content-Type without parameters, by default the first of `types`. Raises UnsupportedType."""
    header_value, _, parameters = request.headers.get("content-type", "").partition(";")
    media_type = header_value.strip().lower() or types[0]
    if media_type not in types:
        raise UnsupportedType(
            f"Content-Type `{media_type[:100]}` is none that this route takes.",
            field="Content-Type", allowed=list(types), hint=hint or f"Send it as {types[0]}.",
        )  # fmt: skip
    charset = _CHARSET.search(parameters)
    if charset and charset[1].lower() not in CHARSETS:
        raise UnsupportedType(
            f"Charset `{charset[1][:100]}` is none that this route takes.", field="Content-Type",
            allowed=list(CHARSETS), hint="Send it in UTF-8.",
        )  # fmt: skip
    return media_type


def read_question(
    request: AnyRequest, filters: tuple[str, ...], *, is_searched: bool, sorts: tuple[str, ...] = SORTS
) -> PageQuestion:
    """Read the parameters of a list. Raises InvalidParameter."""
    parameters = read_parameters(request, (*PAGE_PARAMETERS, "format", *(("q",) if is_searched else ()), *filters))
    sort = parameters.get("sort", SORTS[0])
    if sort not in sorts:
        raise InvalidParameter(f"`sort` cannot be {sort[:100]!r}.", field="sort", allowed=list(sorts))
    limit = read_limit(parameters, LIMIT_DEFAULT, LIMIT_MAX)
    for name in ("q", *filters):
        if len(parameters.get(name, "")) > SEARCH_CHARS_MAX or "\x00" in parameters.get(name, ""):
            rule = f"`{name}` has at most {SEARCH_CHARS_MAX} characters, without NUL."
            raise InvalidParameter(rule, field=name, allowed=rule)
    filter_values = tuple((name, parameters[name]) for name in filters if name in parameters)
    return PageQuestion(sort, limit, parameters.get("cursor"), parameters.get("q"), filter_values)


def read_flag(parameters: dict[str, str], name: str) -> bool:
    value = parameters.get(name, "false")
    if value not in ("true", "false"):
        raise InvalidParameter(f"`{name}` cannot be {value[:100]!r}.", field=name, allowed=["true", "false"])
    return value == "true"


def find_condition(request: AnyRequest) -> Condition | None:
    """Read the condition of a change: If-Match and If-None-Match."""
    return read_condition(request.headers.get("if-match"), request.headers.get("if-none-match"))


def answer_read(request: AnyRequest, content: Any, version: int) -> Response[bytes]:
    """Respond with JSON and its ETag, or with 304 if If-None-Match has that ETag."""
    if is_current(request.headers.get("if-none-match"), version):
        return Response(b"", status_code=304, headers={"ETag": make_etag(version)})
    return answer(content, ETag=make_etag(version))


def answer(content: Any, status: int = 200, **headers: str) -> Response[bytes]:
    """Respond with JSON. In header names _ stands for -."""
    named_headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(_encode(content), status_code=status, media_type="application/json", headers=named_headers)


def answer_list(
    request: AnyRequest,
    items: Sequence[Any],
    columns: Sequence[str],
    next_cursor: str | None = None,
    *,
    meta: Mapping[str, Any] | None = None,
) -> Response[bytes]:
    """Respond with a page, as JSON or CSV. For CSV, headers link to the next page and hold `meta`, which is no row."""
    if not wants_csv(request):
        return answer({"items": items, "next_cursor": next_cursor})
    headers = {} if next_cursor is None else {"Link": f'<{_link_to(request, next_cursor)}>; rel="next"'}
    if meta is not None:
        headers[META_HEADER] = msgspec.json.encode(meta).decode()
    return answer_table(write_objects(items, columns, headers))


def _link_to(request: AnyRequest, cursor: str) -> str:
    """Return the URL of the same list from this cursor on."""
    parameters = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    return f"{request.url.path}?{urlencode([*parameters, ('cursor', cursor)])}"


def answer_no_content() -> Response[bytes]:
    return Response(b"", status_code=204)


def write_location(plural: str, id: str) -> str:
    return f"/v1/{plural}/{quote(id, safe='')}"
