"""The cookie of a session, and which requests it may stand in for a key.   Stage 6 of 6.

The cookie is HttpOnly and SameSite=Strict. On https it has the prefix `__Host-`, so no other host can set it. A page
of another host of the same site may still send it along. So a request that changes something must come from the API's
own origin: the browser says so in `Sec-Fetch-Site`, or in `Origin`.
"""

from __future__ import annotations

from typing import Any

from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie

from rtaplatform.core.errors import Forbidden
from rtaplatform.serve.http.dependencies import Dependencies
from rtaplatform.serve.http.tickets import Ticket
from rtaplatform.serve.session.sessions import SESSION_SECONDS, Sessions

AnyClient = ASGIConnection[Any, Any, Any, Any]
NAME, SECURE_NAME = "rta_session", "__Host-rta_session"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_OWN_PAGE = "Open the dashboard at the API's own address, or send a key in `Authorization`."


async def find_session(connection: AnyClient, parts: Dependencies) -> Ticket | None:
    """Find the session of the request's cookie. Raises Forbidden if another site's page has sent the request."""
    text = _read_cookie(connection)
    if text is None or parts.questions is None:
        return None
    session = await parts.questions.sessions.read(text)
    if session is not None and _is_write(connection):
        require_own_origin(connection)
    return session


def require_own_origin(connection: AnyClient) -> None:
    """Raise Forbidden unless the request comes from a page of the API's own origin."""
    if not comes_from_own_page(connection):
        raise Forbidden("A session works only from the API's own pages.", field="Origin", hint=_OWN_PAGE)


def comes_from_own_page(connection: AnyClient) -> bool:
    """Whether the browser says that a page of the API's own origin has sent the request."""
    origin, site = connection.headers.get("origin"), connection.headers.get("sec-fetch-site")
    if origin is not None and not _is_own(origin, connection):
        return False
    return site == "same-origin" or (site is None and origin is not None)


def is_from_elsewhere(connection: AnyClient) -> bool:
    """Whether the browser says that another page has sent the request. Programs say nothing."""
    headers = connection.headers
    return ("origin" in headers or "sec-fetch-site" in headers) and not comes_from_own_page(connection)


def make_cookie(connection: AnyClient, text: str) -> Cookie:
    return _make_cookie(connection, text, SESSION_SECONDS)


def make_ending_cookie(connection: AnyClient) -> Cookie:
    """Make the cookie that removes the session's."""
    return _make_cookie(connection, "", 0)


def find_open_sessions(parts: Dependencies) -> Sessions:
    assert parts.questions is not None, "a process with session routes has no query services"
    return parts.questions.sessions


def _make_cookie(connection: AnyClient, text: str, seconds: int) -> Cookie:
    is_secure = _is_https(connection)
    name = SECURE_NAME if is_secure else NAME
    return Cookie(name, value=text, max_age=seconds, secure=is_secure, httponly=True, samesite="strict")


def _read_cookie(connection: AnyClient) -> str | None:
    # On https the other name is not read: a neighbouring host could have set it.
    return connection.cookies.get(SECURE_NAME if _is_https(connection) else NAME)


def _is_write(connection: AnyClient) -> bool:
    return connection.scope.get("method", "GET") not in SAFE_METHODS


def _is_https(connection: AnyClient) -> bool:
    """Whether the browser uses https. A proxy that ends TLS says so; the headers of any proxy are believed.

    Whoever sends them changes nothing but their own answer.
    """
    protocol = connection.headers.get("x-forwarded-proto", "").split(",")[0].strip().lower()
    return (protocol or connection.url.scheme) in ("https", "wss")


def _is_own(origin: str, connection: AnyClient) -> bool:
    """Whether the origin is the host that was asked. The scheme may differ: a proxy may end TLS."""
    host = connection.headers.get("x-forwarded-host", "").split(",")[0].strip() or connection.headers.get("host", "")
    return bool(host) and origin.lower() in (f"http://{host.lower()}", f"https://{host.lower()}")
