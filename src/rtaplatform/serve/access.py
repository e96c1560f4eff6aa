"""Who may do what.   Every route says which scope it needs; one that does not is closed.

`opt={"scope": "read"}` on a route asks for a key with that scope, `opt={"scope": None}` says that it is open.
`opt={"find_access": f}` replaces the look at the `Authorization` header (collecting: keys in bodies; live:
tickets). The project comes from the key, never from the request; a refusal never tells whether a thing exists.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, cast

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from rtaplatform.catalog.keys import Access
from rtaplatform.core.errors import Forbidden, Unauthorized
from rtaplatform.serve.parts import FindAccess, parts_of

AnyConnection = ASGIConnection[Any, Any, Any, Any]
_CLOSED = "closed"


async def check_access(connection: AnyConnection, handler: BaseRouteHandler) -> None:
    """The guard of the whole application; raises Unauthorized, Forbidden, Unavailable."""
    if connection.scope.get("method") == "OPTIONS":  # answered by the framework: the methods that there are
        return
    scope = handler.opt.get("scope", _CLOSED)
    if scope is None or handler.opt.get("key_in_body"):
        return
    if scope == _CLOSED:
        raise Forbidden("This route is closed.")
    find: FindAccess = handler.opt.get("find_access", find_bearer)
    connection.state.access = require_scope(await find(connection, parts_of(connection)), scope)


def access_of(connection: AnyConnection) -> Access:
    """What the request's key opens; only on routes with a scope."""
    return cast(Access, connection.state.access)


def require_scope(access: Access | None, scope: str) -> Access:
    if access is None:
        raise Unauthorized("No key, or not a valid one.")
    if scope not in access.scopes:
        raise Forbidden("The key does not open this.", allowed=[scope])
    return access


async def find_bearer(connection: AnyConnection, parts: Any) -> Access | None:
    key = bearer_of(connection.headers.get("authorization"))
    return await parts.keys.find(key) if key else None


def bearer_of(header: str | None) -> str | None:
    """The key of `Bearer KEY`."""
    scheme, _, value = (header or "").partition(" ")
    return value.strip() or None if scheme.lower() == "bearer" else None


def basic_user_of(header: str | None) -> str | None:
    """The user name of `Basic …`; the password does not matter."""
    scheme, _, value = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, _, _ = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return user or None
