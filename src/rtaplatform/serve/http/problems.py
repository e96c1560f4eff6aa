"""Turn errors into `application/problem+json`, on every route.   Stage 6 of 6.

KINDS is the one table from error to status. Every document has the same members. `code` and `message` repeat the slug
and the detail, for SDKs that look for them. An error of our own is logged in full, and its text is never shown.
"""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import (
    ClientException,
    HTTPException,
    MethodNotAllowedException,
    NotAuthorizedException,
    NotFoundException,
    PermissionDeniedException,
    TooManyRequestsException,
    ValidationException,
)
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from msgspec import Struct

from rtaplatform import telemetry
from rtaplatform.collect.body.draft import BatchRefused, EventRefused
from rtaplatform.core import errors

MEDIA_TYPE = "application/problem+json"
_log = telemetry.make_logger("serve.problems")


class ProblemKind(Struct, frozen=True):
    """One kind of problem, and what to do about it."""

    slug: str
    status: int
    title: str
    remedy: str


_NOT_FOUND = ProblemKind("not-found", 404, "Not found", "Check the name or id; the lists show what exists.")
_INVALID = ProblemKind(
    "invalid-parameter", 422, "A parameter is wrong", "Correct `field`; `allowed` tells what it may be."
)
_UNREADABLE = ProblemKind(
    "unreadable-body", 400, "The body cannot be read", "Send JSON of at most 4 MiB, gzipped or not."
)
_UNAUTHORIZED = ProblemKind("unauthorized", 401, "No valid key", "Send `Authorization: Bearer KEY`.")
_FORBIDDEN = ProblemKind("forbidden", 403, "The key does not open this", "Use a key with the scope that is needed.")
_BAD_REQUEST = ProblemKind("bad-request", 400, "The request cannot be read", "Check the request's form.")
_INTERNAL = ProblemKind(
    "internal-error", 500, "An error on our side", "Try again; if it stays, tell the operators the time."
)

KINDS: dict[type[BaseException], ProblemKind] = {
    errors.NotFound: _NOT_FOUND,
    errors.InvalidParameter: _INVALID,
    errors.UnreadableBody: _UNREADABLE,
    errors.MalformedRequest: _BAD_REQUEST,
    errors.SlowBody: ProblemKind("slow-body", 408, "The body came too slowly", "Send it again, without pauses."),
    errors.UnsupportedEncoding: ProblemKind(
        "unsupported-encoding", 415, "Unknown Content-Encoding", "Send the body as it is, or gzipped."
    ),
    errors.UnsupportedType: ProblemKind("unsupported-type", 415, "Unknown Content-Type", "Name one of `allowed`."),
    errors.Unauthorized: _UNAUTHORIZED,
    errors.Forbidden: _FORBIDDEN,
    errors.Conflict: ProblemKind(
        "conflict", 409, "It conflicts with the current state", "Read the current state, then decide."
    ),
    errors.PreconditionFailed: ProblemKind(
        "precondition-failed", 412, "It has been changed", "Read it again, then send its new ETag as If-Match."
    ),
    EventRefused: ProblemKind("event-rejected", 400, "The event is rejected", "Correct the event; `reason` tells why."),
    BatchRefused: ProblemKind(
        "batch-rejected", 400, "Events of the batch are rejected", "Correct the events listed in `rejected`."
    ),
    errors.Unavailable: ProblemKind(
        "unavailable", 503, "A server is unavailable", "Try again after `Retry-After` seconds."
    ),
    errors.WrongClock: ProblemKind(
        "wrong-clock", 503, "A machine's clock is wrong", "Try again later; an operator has to set the clock."
    ),
    errors.Busy: ProblemKind("busy", 503, "Not at the moment", "Try again after `Retry-After` seconds."),
    errors.Stopped: ProblemKind("stopped", 503, "Processing has stopped", "An operator has to decide."),
    NotFoundException: ProblemKind("unknown-route", 404, "No such route", "See /docs for all routes."),
    MethodNotAllowedException: ProblemKind("method-not-allowed", 405, "Not with this method", "See `Allow`."),
    TooManyRequestsException: ProblemKind("too-many-requests", 429, "Too many requests", "Wait as `Retry-After` says."),
    RequestEntityTooLarge: _UNREADABLE,
    ValidationException: _INVALID,
    NotAuthorizedException: _UNAUTHORIZED,
    PermissionDeniedException: _FORBIDDEN,
    ClientException: _BAD_REQUEST,
    Exception: _INTERNAL,
}
BY_SLUG = {kind.slug: kind for kind in KINDS.values()}


def find_kind(error: BaseException) -> ProblemKind:
    return next((KINDS[cls] for cls in type(error).__mro__ if cls in KINDS), _INTERNAL)


def answer_problem(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """The exception handler of the whole application."""
    kind = find_kind(error)
    log_problem(error, request.method, request.url.path)
    document = describe(error)
    return Response(
        content=msgspec.json.encode(document),
        status_code=kind.status,
        media_type=MEDIA_TYPE,
        headers=_make_headers(error, kind),
    )


def log_problem(error: Exception, method: str, path: str) -> None:
    """Log an error of our own, or of a server."""
    if find_kind(error) is _INTERNAL:
        _log.error("request_failed", method=method, path=path, exc_info=error)
    elif isinstance(error, errors.Unavailable) and not isinstance(error, errors.Busy):
        _log.warning("server_unavailable", server=error.server, detail=error.detail, path=path)


def write_problem(error: Exception) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the response as ASGI messages, for requests that reach no route."""
    kind, body = find_kind(error), msgspec.json.encode(describe(error))
    headers = {"content-type": MEDIA_TYPE, "content-length": str(len(body)), **_make_headers(error, kind)}
    header_bytes = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    return (
        {"type": "http.response.start", "status": kind.status, "headers": header_bytes},
        {"type": "http.response.body", "body": body},
    )


def describe(error: BaseException) -> dict[str, Any]:
    """Return the problem document of an error."""
    kind = find_kind(error)
    facts = _list_facts(error)
    return {
        "type": f"/problems/{kind.slug}",
        "title": kind.title,
        "status": kind.status,
        "detail": facts["detail"],
        "field": facts.get("field"),
        "allowed": facts.get("allowed"),
        "hint": facts.get("hint") or kind.remedy,
        "code": kind.slug,
        "message": facts["detail"],
        **_list_extra_members(error),
    }


def _list_facts(error: BaseException) -> dict[str, Any]:
    match error:
        case errors.Rejected():
            return {"detail": error.detail, "field": error.field, "allowed": error.allowed, "hint": error.hint}
        case errors.Busy():
            return {"detail": error.detail}
        case errors.WrongClock():
            return {"detail": f"{error.detail} Nothing is wrong with the request."}
        case errors.Unavailable():
            return {"detail": f"{error.server} is unavailable. Nothing is wrong with the request."}
        case errors.Stopped():
            return {"detail": error.detail}
        case ValidationException():
            return _list_validation_facts(error)
        case NotFoundException():
            return {"detail": "There is no route with this path."}
        case MethodNotAllowedException():
            return {"detail": "The route with this path does not take this method."}
        case RequestEntityTooLarge():
            return {"detail": "The body is too large."}
        case HTTPException() if find_kind(error) is not _INTERNAL:
            return {"detail": error.detail}
    return {"detail": "The request failed because of an error on our side. It is logged."}


def _list_validation_facts(error: ValidationException) -> dict[str, Any]:
    first = error.extra[0] if isinstance(error.extra, list) and error.extra else {}
    violation = first if isinstance(first, dict) else {}
    return {"detail": violation.get("message") or error.detail, "field": violation.get("key")}


def _list_extra_members(error: BaseException) -> dict[str, Any]:
    if isinstance(error, EventRefused):
        return {"reason": error.reason.value}
    return error.answer if isinstance(error, BatchRefused) else {}


def _make_headers(error: Exception, kind: ProblemKind) -> dict[str, str]:
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if isinstance(error, (errors.Busy, errors.SlowBody)):
        headers["Connection"] = "close"  # the rest of the body is not read
    if isinstance(error, errors.Unavailable):
        headers["Retry-After"] = str(max(1, error.retry_after_seconds))
    elif isinstance(error, errors.Stopped):
        headers["Retry-After"] = "30"
    elif kind is _UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="rta"'
    return headers
