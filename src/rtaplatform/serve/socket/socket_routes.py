"""`/v1/live/ws`: the live socket.   Stage 6 of 6: analytics → [serve].

Every socket is accepted first. Then it is told by a message why it may not go on: a browser shows its page nothing of
a refused handshake. A browser lets any page connect, so a page of another origin must be one that the project lists. A
session's cookie opens a socket only from the API's own pages.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

from litestar import websocket
from litestar.exceptions import HTTPException, TooManyRequestsException
from litestar.handlers import BaseRouteHandler

from rtaplatform import telemetry
from rtaplatform.catalog.keys.key_rows import KeyAccess
from rtaplatform.core.errors import Busy, Forbidden, PlatformError, Unauthorized, Unavailable
from rtaplatform.serve.connections.connection_guard import find_peer
from rtaplatform.serve.dashboard.dashboard_files import DashboardFiles
from rtaplatform.serve.http.access import find_address, refuse_unknown, require_scope, take
from rtaplatform.serve.http.dependencies import Dependencies, find_dependencies, require_query_services
from rtaplatform.serve.http.limits import READ
from rtaplatform.serve.query.live_admission import SCOPE, claim_ticket, find_by_ticket, get_admission
from rtaplatform.serve.session.session_cookie import comes_from_own_page, require_own_origin
from rtaplatform.serve.socket.live_socket import FORBIDDEN, KEY, LATER, LIMIT, AnySocket, LiveSocket, end_by
from rtaplatform.serve.socket.socket_line import SocketGone, SocketLine, forget_frames

PATH = "/v1/live/ws"
INTERNAL = 1011


@websocket(PATH, opt={"scope": None})
async def serve_live_socket(socket: AnySocket) -> None:
    """The key is looked up here, so that a refusal can be told."""
    parts = find_dependencies(socket)
    try:
        await socket.accept()
    except (OSError, RuntimeError):  # the client has left already
        return
    line = _make_line(socket, parts)
    try:
        try:
            await _serve(socket, line, parts)
        except (PlatformError, HTTPException) as error:
            await end_by(line, _choose_code(error), error)
        except Exception as error:  # noqa: BLE001  # a bug is logged in full; the client learns that it is ours
            telemetry.make_logger("socket").error("socket_failed", exc_info=error)
            await end_by(line, INTERNAL, error)
    except SocketGone as end:
        forget_frames(end)
    finally:
        del socket.receive, socket.send  # through them it refers to itself, and would wait for the garbage collector


route_handlers: list[BaseRouteHandler] = [serve_live_socket]


async def _serve(socket: AnySocket, line: SocketLine, parts: Dependencies) -> None:
    access = await _admit(socket, parts)
    admission, dashboard = get_admission(socket), _get_dashboard(socket)
    live_socket, services = LiveSocket(socket, line, access, admission), require_query_services(parts)
    async with AsyncExitStack() as stack:
        lease = stack.enter_context(services.key_watches.hold(parts.keys, admission.key_hash, access.project))
        await claim_ticket(parts, admission, stack)
        stack.enter_context(services.hub.hold_seat(access.project, live_socket.seat))
        lease.require_valid()
        await live_socket.run(dashboard.build, lease)


async def _admit(socket: AnySocket, parts: Dependencies) -> KeyAccess:
    """Find what the socket's key opens. Raises Unauthorized, Forbidden, Unavailable, TooManyRequestsException."""
    access = await find_by_ticket(socket, parts)
    if access is None:
        await refuse_unknown(socket)
    require_scope(access, SCOPE)
    if socket.scope["state"].get("session") is not None:
        require_own_origin(socket)
    origin = socket.headers.get("origin")
    if origin is not None and not comes_from_own_page(socket) and not parts.origins.may_ask(access.project, origin):
        raise Forbidden(
            "Pages of this origin may not ask for numbers.", field="Origin",
            hint="Add the origin to the project's `allowed_origins`.",
        )  # fmt: skip
    await take(socket, READ, access)
    return access


def _make_line(socket: AnySocket, parts: Dependencies) -> SocketLine:
    peer = find_peer(socket.scope)

    def cut() -> None:
        if peer is not None:
            parts.bounds.guard.cut(peer)

    send: Any = socket.send  # the server takes the messages as they are
    return SocketLine(
        send, cut, deadlines=parts.bounds.live_sends, budget=parts.bounds.messages, address=find_address(socket, parts)
    )


def _get_dashboard(socket: AnySocket) -> DashboardFiles:
    dashboard: DashboardFiles = socket.app.state["dashboard"]
    return dashboard


def _choose_code(error: Exception) -> int:
    match error:
        case Unauthorized():
            return KEY
        case Forbidden():
            return FORBIDDEN
        case TooManyRequestsException() | Busy():
            return LIMIT
        case Unavailable():
            return LATER
    return INTERNAL
