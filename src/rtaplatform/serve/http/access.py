"""Access control.   Every route declares the scope that it needs. A route that declares none is closed.

`opt={"scope": "read"}` on a route requires a key with that scope; `opt={"scope": None}` makes it open to everybody.
`opt={"find_access": f}` replaces the look at the `Authorization` header: collecting finds keys in bodies, live streams
have tickets. Without a key in the header, a session's cookie stands for its key (`serve/session`); collecting takes no
cookie. Each request counts against the limit of its key (`limits.py`). The project comes from the key, never
from the request. A refusal never tells whether a thing exists.
A key that opens nothing counts as a guess of the client's address. For an address with too many guesses, only keys
that exist are looked up.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, NoReturn, cast

from litestar.connection import ASGIConnection
from litestar.exceptions import TooManyRequestsException
from litestar.handlers import BaseRouteHandler

from rtaplatform.catalog.keys.key_format import hash_key
from rtaplatform.catalog.keys.key_rows import KeyAccess
from rtaplatform.core.errors import Forbidden, Unauthorized
from rtaplatform.serve.http.dependencies import Dependencies, FindAccess, find_dependencies
from rtaplatform.serve.http.limits import KINDS, UNKNOWN
from rtaplatform.serve.session.session_cookie import find_session

AnyConnection = ASGIConnection[Any, Any, Any, Any]
_CLOSED = "closed"
FORWARDED_CHARS_MAX = 1_000


async def check_access(connection: AnyConnection, handler: BaseRouteHandler) -> None:
    """Check each request before its handler runs. Raises Unauthorized, Forbidden, Unavailable."""
    if connection.scope.get("method") == "OPTIONS":  # the framework answers with the methods of the path
        return
    scope = handler.opt.get("scope", _CLOSED)
    if scope is None or handler.opt.get("key_in_body"):
        return
    if scope == _CLOSED:
        raise Forbidden("This route is closed.")
    find: FindAccess = handler.opt.get("find_access", find_bearer)
    access = await find(connection, find_dependencies(connection))
    if access is None:
        await refuse_unknown(connection)
    else:
        await take(connection, KINDS[scope], access)
    connection.state.access = require_scope(access, scope)


def get_access(connection: AnyConnection) -> KeyAccess:
    """Return what the request's key opens; only on routes with a scope."""
    return cast(KeyAccess, connection.state.access)


def require_scope(access: KeyAccess | None, scope: str) -> KeyAccess:
    if access is None:
        raise Unauthorized("No key, or not a valid one.")
    if scope not in access.scopes:
        raise Forbidden("The key does not open this.", allowed=[scope])
    return access


async def take(connection: AnyConnection, kind: str, access: KeyAccess, cost: int = 1) -> None:
    """Charge `cost` to the key's limit. The response tells what remains. Raises TooManyRequestsException."""
    allowance = await find_dependencies(connection).limits.take_for_key(kind, access.key_id, access.project_id, cost)
    if allowance.limit:
        connection.scope["state"]["allowance"] = allowance


async def find_key(connection: AnyConnection, parts: Dependencies, key: str | None) -> KeyAccess | None:
    """Return what a key opens. A key that opens nothing counts as a guess of the client's address."""
    if not key:
        return None
    address = find_address(connection, parts)
    access = await parts.keys.find_from(address, key, may_guess=not parts.limits.is_spent(UNKNOWN, address))
    if access is None:
        await _count_guess(connection, parts, address)
    return access


async def _count_guess(connection: AnyConnection, parts: Dependencies, address: str) -> None:
    """Count one guess. If it is one too many, the refusal waits until the request's other keys are tried too."""
    state = connection.scope["state"]
    try:
        await parts.limits.take(UNKNOWN, address)
    except TooManyRequestsException as refusal:
        state["guess_refusal"] = refusal
    state["has_guessed"] = True


async def refuse_unknown(
    connection: AnyConnection,
    detail: str = "No key, or not a valid one.",
    *,
    field: str | None = None,
    hint: str | None = None,
) -> NoReturn:
    """Raise Unauthorized, or TooManyRequestsException if the client's address has guessed too often."""
    parts, state = find_dependencies(connection), connection.scope["state"]
    # A request without any key counts as a guess too, if it has a query or a body to read.
    if not state.get("has_guessed") and (connection.query_params or connection.scope.get("method") == "POST"):
        await _count_guess(connection, parts, find_address(connection, parts))
    if refusal := state.get("guess_refusal"):
        raise refusal
    raise Unauthorized(detail, field=field, hint=hint)


def find_address(connection: AnyConnection, parts: Dependencies) -> str:
    """Return the client's address. X-Forwarded-For counts only if a trusted proxy sent it."""
    return find_scope_address(connection.scope, parts.limits.trusted_proxies)


def find_scope_address(scope: Any, proxies: Sequence[IPv4Network | IPv6Network]) -> str:
    """Return the same, of a request that is no object yet."""
    client = scope["client"][0] if scope.get("client") else ""
    if not proxies:  # anybody can send the header
        return _normalize_address(client)
    addresses = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
    return find_forwarded_address(client, addresses, proxies)


def is_from_trusted_proxy(connection: AnyConnection, parts: Dependencies) -> bool:
    """Tell whether a trusted proxy has sent the request, so that the headers that proxies add can be believed."""
    proxies = parts.limits.trusted_proxies
    address = _read_address(connection.client.host) if proxies and connection.client else None
    return address is not None and any(address in network for network in proxies)


def find_forwarded_address(client: str, addresses: Sequence[str], proxies: Sequence[IPv4Network | IPv6Network]) -> str:
    """Return the last address that is no trusted proxy's; for IPv6 its network, since one client has all of it."""
    if not proxies:
        return _normalize_address(client)
    # Each proxy appends an address, to the header or as a header of its own: the last ones are the nearest.
    hops = ",".join(addresses)[-FORWARDED_CHARS_MAX:].split(",")
    address = _read_address(client)
    while hops and address is not None and any(address in network for network in proxies):
        address = _read_address(hops.pop().strip()) or address
    return _write_address(address)


@lru_cache(maxsize=4_096)
def _read_address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


def _write_address(address: IPv4Address | IPv6Address | None) -> str:
    if address is None:
        return "unknown"
    return str(ip_network((address, 64), strict=False)) if address.version == 6 else str(address)


@lru_cache(maxsize=4_096)
def _normalize_address(text: str) -> str:
    return _write_address(_read_address(text))


async def find_bearer(connection: AnyConnection, parts: Dependencies) -> KeyAccess | None:
    """Find the access of the key in the header, else of the session's cookie."""
    state, key = connection.scope["state"], read_bearer(connection.headers.get("authorization"))
    if key is not None:
        state["key_hash"] = hash_key(key)
        return await find_key(connection, parts, key)
    session = await find_session(connection, parts)
    if session is None:
        return None
    state["session"], state["key_hash"] = session, session.key_hash
    return await parts.keys.find_hashed(session.key_hash)


def find_key_hash(connection: AnyConnection) -> bytes:
    """Return the SHA-256 of the key that `find_bearer` has found."""
    key_hash: bytes = connection.scope["state"]["key_hash"]
    return key_hash


def read_bearer(header: str | None) -> str | None:
    """Return the key of `Bearer KEY`."""
    scheme, _, value = (header or "").partition(" ")
    return value.strip() or None if scheme.lower() == "bearer" else None


def read_basic_user(header: str | None) -> str | None:
    """Return the user name of `Basic …`. The password is ignored."""
    scheme, _, value = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, _, _ = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return user or None
