"""Who may do what.   Every route says which scope it needs; one that does not is closed.

`opt={"scope": "read"}` on a route asks for a key with that scope, `opt={"scope": None}` says that it is open.
`opt={"find_access": f}` replaces the look at the `Authorization` header (collecting: keys in bodies; live:
tickets). Each request is taken from what its key may ask for in a minute (`limits.py`). The project comes from the
key, never from the request; a refusal never tells whether a thing exists.
"""

from __future__ import annotations

import base64
import binascii
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, NoReturn, cast

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from rtaplatform.catalog.keys import Access
from rtaplatform.core.errors import Forbidden, Unauthorized
from rtaplatform.serve.limits import KINDS, UNKNOWN
from rtaplatform.serve.parts import FindAccess, Parts, parts_of

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
    access = await find(connection, parts_of(connection))
    if access is None:
        await refuse_unknown(connection)
    else:
        await take(connection, KINDS[scope], access)
    connection.state.access = require_scope(access, scope)


def access_of(connection: AnyConnection) -> Access:
    """What the request's key opens; only on routes with a scope."""
    return cast(Access, connection.state.access)


def require_scope(access: Access | None, scope: str) -> Access:
    if access is None:
        raise Unauthorized("No key, or not a valid one.")
    if scope not in access.scopes:
        raise Forbidden("The key does not open this.", allowed=[scope])
    return access


async def take(connection: AnyConnection, kind: str, access: Access, cost: int = 1) -> None:
    """Take `cost` from what the key may ask for; the answer tells what is left. Raises TooManyRequestsException."""
    allowance = await parts_of(connection).limits.take(kind, access.key_id, cost)
    if allowance.limit:
        connection.scope["state"]["allowance"] = allowance


async def find_key(connection: AnyConnection, parts: Parts, key: str | None) -> Access | None:
    """What a key opens. An address that has tried too many unknown ones has no more looked up."""
    if not key:
        return None
    if parts.limits.is_spent(UNKNOWN, address_of(connection, parts)) and not parts.keys.knows(key):
        return None
    return await parts.keys.find(key)


async def refuse_unknown(connection: AnyConnection) -> NoReturn:
    """Raise Unauthorized, or TooManyRequestsException where the client's address has tried too often."""
    parts = parts_of(connection)
    if connection.headers.get("authorization") or connection.query_params or connection.scope.get("method") == "POST":
        await parts.limits.take(UNKNOWN, address_of(connection, parts))
    raise Unauthorized("No key, or not a valid one.")


def address_of(connection: AnyConnection, parts: Parts) -> str:
    """The client's: what a trusted proxy says in X-Forwarded-For, and nobody else."""
    client = connection.client.host if connection.client else ""
    trusted = parts.limits.trusted_proxies
    return forwarded_address(client, connection.headers.get("x-forwarded-for", ""), trusted)


@lru_cache(maxsize=10_000)
def forwarded_address(client: str, forwarded: str, trusted: str) -> str:
    """The last address that is no trusted proxy's; of IPv6 the network, since a client has all of its addresses."""
    networks = [ip_network(part.strip()) for part in trusted.split(",") if part.strip()]
    said = [part.strip() for part in forwarded.split(",")] if forwarded else []
    address = _address(client)
    while said and address is not None and any(address in network for network in networks):
        address = _address(said.pop()) or address
    if address is None:
        return "unknown"
    return str(ip_network((address, 64), strict=False)) if address.version == 6 else str(address)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found


async def find_bearer(connection: AnyConnection, parts: Any) -> Access | None:
    return await find_key(connection, parts, bearer_of(connection.headers.get("authorization")))


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
