"""`/v1/session`: the dashboard's sign-in, what the session may do, and sign-out.   Stage 6 of 6.

A key or a one-time code opens a session. The answer sets a cookie, which then stands for the key. A session is not
stored: signing out removes the cookie, and revoking the key ends all of its sessions.
"""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Response, delete, get, post
from litestar.datastructures import Cookie
from litestar.handlers import HTTPRouteHandler

from rtaplatform.catalog.entities.fields import require_object
from rtaplatform.catalog.keys.key_format import SCOPES, hash_key
from rtaplatform.catalog.keys.key_rows import KeyAccess
from rtaplatform.catalog.projects import project_admin
from rtaplatform.core.errors import Forbidden, InvalidParameter
from rtaplatform.serve.catalog.catalog_http import read_json, run
from rtaplatform.serve.http.access import find_key, find_key_hash, get_access, refuse_unknown, take
from rtaplatform.serve.http.dependencies import AnyRequest, find_dependencies
from rtaplatform.serve.http.limits import READ
from rtaplatform.serve.http.parameters import read_parameters
from rtaplatform.serve.session import session_docs as docs
from rtaplatform.serve.session.session_cookie import (
    find_open_sessions,
    find_session,
    is_from_elsewhere,
    make_cookie,
    make_ending_cookie,
)

PATH, SCOPE, TAGS = "/v1/session", "read", ["session"]
NEW_CODE = "Ask for a new link with POST /v1/session/codes, or sign in with a key."
ANOTHER_KEY = "Use a read key or an admin key. The file keys.json of the data directory has those of the demo project."


@post(PATH, opt={"scope": None, "docs": docs.OPEN_SESSION}, tags=TAGS, summary="Sign in", status_code=200)
async def open_session(request: AnyRequest) -> Response[bytes]:
    """By a key, or by a one-time code. The answer sets the cookie."""
    read_parameters(request, ())
    if is_from_elsewhere(request):
        raise Forbidden("Only the dashboard's own pages may sign in.", field="Origin")
    credentials = _read_credentials(await read_json(request))
    key_hash, access = await _find(request, credentials)
    if SCOPE not in access.scopes:
        raise Forbidden("This key may only send events.", field="key", allowed=[SCOPE], hint=ANOTHER_KEY)
    await take(request, READ, access)
    cookie = make_cookie(request, await find_open_sessions(find_dependencies(request)).open(key_hash))
    return _answer(await _describe(request, access), cookie)


@get(PATH, opt={"scope": SCOPE, "docs": docs.READ_SESSION}, tags=TAGS, summary="Who is signed in")
async def read_session(request: AnyRequest) -> Response[bytes]:
    """The project and the scopes of the cookie's key, or of the key in the header."""
    read_parameters(request, ())
    content, sessions = await _describe(request, get_access(request)), find_open_sessions(find_dependencies(request))
    session = request.scope["state"].get("session")
    if session is None or not sessions.is_to_renew(session):
        return _answer(content)
    return _answer(content, make_cookie(request, await sessions.open(session.key_hash)))


@delete(PATH, opt={"scope": None, "docs": docs.END_SESSION}, tags=TAGS, summary="Sign out", status_code=204)
async def end_session(request: AnyRequest) -> Response[None]:
    """Removes the cookie."""
    read_parameters(request, ())
    await find_session(request, find_dependencies(request))  # refuses pages of other sites
    return Response(None, status_code=204, cookies=[make_ending_cookie(request)])


@post(
    "/v1/session/codes", opt={"scope": SCOPE, "docs": docs.MAKE_CODE}, tags=TAGS,
    summary="A one-time code for a sign-in link", status_code=200, operation_id="makeSignInCode",
)  # fmt: skip
async def make_code(request: AnyRequest) -> dict[str, str]:
    """The link is `/#start=CODE`. It opens one session of this key, within ten minutes."""
    read_parameters(request, ())
    return {"start": await find_open_sessions(find_dependencies(request)).make_code(find_key_hash(request))}


route_handlers: list[HTTPRouteHandler] = [open_session, read_session, end_session, make_code]


def _read_credentials(content: Any) -> dict[str, str]:
    names = list(require_object(content, ["key", "start"], '{"key": "rta_r_…"}'))
    if names not in (["key"], ["start"]) or not isinstance(content[names[0]], str):
        raise InvalidParameter(
            "The body is an object with `key`, or with `start`.", field=str(names[0])[:100] if names else None,
            allowed=["key", "start"], hint='For example {"key": "rta_r_…"}.',
        )  # fmt: skip
    return {names[0]: content[names[0]]}


async def _find(request: AnyRequest, credentials: dict[str, str]) -> tuple[bytes, KeyAccess]:
    """Find the key's hash and what it opens. Raises Unauthorized."""
    parts = find_dependencies(request)
    if "key" in credentials:
        key = credentials["key"].strip()
        access = await find_key(request, parts, key)
        if access is None:
            await refuse_unknown(request, "There is no such key, or it was revoked.", field="key", hint=ANOTHER_KEY)
        return hash_key(key), access
    key_hash = await find_open_sessions(parts).take_code(credentials["start"])
    access = await parts.keys.find_hashed(key_hash) if key_hash is not None else None
    if key_hash is None or access is None:
        await refuse_unknown(request, "The link was used already, or is too old.", field="start", hint=NEW_CODE)
    return key_hash, access


async def _describe(request: AnyRequest, access: KeyAccess) -> dict[str, Any]:
    row = await run(request, lambda connection: project_admin.read(connection, access.project_id))
    return {
        "project": project_admin.render_project(row),
        "scopes": [scope for scope in SCOPES if scope in access.scopes],
        "key_id": access.key_id,
        "expires_at": access.expires_at,
    }


def _answer(content: dict[str, Any], cookie: Cookie | None = None) -> Response[bytes]:
    body = msgspec.json.encode(content)
    return Response(body, media_type="application/json", cookies=[cookie] if cookie else None)
