"""Who may do what.   Every route says which scope it needs; one that does not is closed.

`opt={"scope": "read"}` on a route asks for a key with that scope, `opt={"scope": None}` says that it is open.
`opt={"find_access": f}` replaces the look at the `Authorization` header (collecting: keys in bodies; live:
tickets). Each request is taken from what its key may ask for in a minute (`limits.py`). The project comes from the
key, never from the request; a refusal never tells whether a thing exists. A key that opens nothing is a guess, and
counts for its client's address: beyond the limit only keys that exist are looked up from there.
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

from rtaplatform.catalog.keys.key_rows import KeyAccess
from rtaplatform.core.errors import Forbidden, Unauthorized
from rtaplatform.serve.http.dependencies import Dependencies, FindAccess, dependencies_of
from rtaplatform.serve.http.limits import KINDS, UNKNOWN

AnyConnection = ASGIConnection[Any, Any, Any, Any]
_CLOSED = "closed"
FORWARDED_CHARS_MAX = 1_000


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
    access = await find(connection, dependencies_of(connection))
    if access is None:
        await refuse_unknown(connection)
    else:
        await take(connection, KINDS[scope], access)
    connection.state.access = require_scope(access, scope)


def access_of(connection: AnyConnection) -> KeyAccess:
    """What the request's key opens; only on routes with a scope."""
    return cast(KeyAccess, connection.state.access)


def require_scope(access: KeyAccess | None, scope: str) -> KeyAccess:
    if access is None:
        raise Unauthorized("No key, or not a valid one.")
    if scope not in access.scopes:
        raise Forbidden("The key does not open this.", allowed=[scope])
    return access


async def take(connection: AnyConnection, kind: str, access: KeyAccess, cost: int = 1) -> None:
    """Take `cost` from what the key may ask for; the answer tells what is left. Raises TooManyRequestsException."""
    allowance = await dependencies_of(connection).limits.take_of_key(kind, access.key_id, access.project_id, cost)
    if allowance.limit:
        connection.scope["state"]["allowance"] = allowance


async def find_key(connection: AnyConnection, parts: Dependencies, key: str | None) -> KeyAccess | None:
    """What a key opens. One that opens nothing counts as a guess of the client's address."""
    if not key:
        return None
    address = address_of(connection, parts)
    access = await parts.keys.find_from(address, key, may_guess=not parts.limits.is_spent(UNKNOWN, address))
    if access is None:
        await _count_guess(connection, parts, address)
    return access


async def _count_guess(connection: AnyConnection, parts: Dependencies, address: str) -> None:
    """Whether it was one too many is told once no other key of the request opens anything."""
    state = connection.scope["state"]
    try:
        await parts.limits.take(UNKNOWN, address)
    except TooManyRequestsException as refusal:
        state["guess_refusal"] = refusal
    state["has_guessed"] = True


async def refuse_unknown(
    connection: AnyConnection, detail: str = "No key, or not a valid one.", hint: str | None = None
) -> NoReturn:
    """Raise Unauthorized, or TooManyRequestsException where the client's address has tried too often."""
    parts, state = dependencies_of(connection), connection.scope["state"]
    # Who shows no key at all costs something where a body is read for it.
    if not state.get("has_guessed") and (connection.query_params or connection.scope.get("method") == "POST"):
        await _count_guess(connection, parts, address_of(connection, parts))
    if refusal := state.get("guess_refusal"):
        raise refusal
    raise Unauthorized(detail, hint=hint)


def address_of(connection: AnyConnection, parts: Dependencies) -> str:
    """The client's: what a trusted proxy says in X-Forwarded-For, and nobody else."""
    client, trusted = connection.client.host if connection.client else "", parts.limits.trusted_proxies
    # Only where somebody is trusted: the header is a stranger's text.
    said = connection.headers.getall("x-forwarded-for", []) if trusted else []
    return forwarded_address(client, said, trusted)


def forwarded_address(client: str, forwarded: Sequence[str], trusted: Sequence[IPv4Network | IPv6Network]) -> str:
    """The last address that is no trusted proxy's; of IPv6 the network, since a client has all of its addresses."""
    if not trusted:
        return _shown(_address(client))
    # Each proxy appends, to the line or as a line of its own: the last ones are the nearest.
    said = ",".join(forwarded)[-FORWARDED_CHARS_MAX:].split(",")
    address = _address(client)
    while said and address is not None and any(address in network for network in trusted):
        address = _address(said.pop().strip()) or address
    return _shown(address)


@lru_cache(maxsize=4_096)
def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found


def _shown(address: IPv4Address | IPv6Address | None) -> str:
    if address is None:
        return "unknown"
    return str(ip_network((address, 64), strict=False)) if address.version == 6 else str(address)


async def find_bearer(connection: AnyConnection, parts: Any) -> KeyAccess | None:
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
