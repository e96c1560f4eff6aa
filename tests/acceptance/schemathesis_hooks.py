"""For test_schemathesis.py: who asks, what no document can say, and whose key opens a project that was just made."""

from __future__ import annotations

import os
import re
from typing import Any, NamedTuple
from urllib.parse import quote

import schemathesis
from requests.auth import AuthBase
from schemathesis.core import transport
from schemathesis.core.failures import Failure
from schemathesis.openapi.checks import RejectedPositiveData
from schemathesis.transport.prepare import get_exclude_headers

from rtaplatform.catalog.keys.key_format import SCOPES as ALL_SCOPES

# Keys that the runs themselves use: they must not be revoked, rotated or ended by one.
OWN_KEYS = frozenset(os.environ.get("RTA_TEST_KEY_IDS", "").split(","))
KEY = os.environ.get("RTA_TEST_KEY", "")
SCOPES = frozenset(os.environ.get("RTA_TEST_SCOPES", "").split(",")) - {""}
# Of the hundreds of time zones so many are tried: each is one case more of the same.
ZONES = 8
# A head over 32 KiB is refused by the server before there is a request: no problem document (docs/reference/api.md).
QUERY_BYTES_MAX = 30_000
# A stream's opening has no data. Schemathesis would not count it, and wait for an event that may never come.
assert callable(transport._carries_data)
transport._carries_data = lambda block: True
_keys_of_projects: dict[str, str] = {}
_tickets: set[str] = set()


class Unsayable(NamedTuple):
    """A refusal of what the document allows: its operations, status and field, and why the document cannot say it."""

    operations: str
    status: int
    field: str
    why: str


_ONE = r"(queries\.\d+\.)?"
_QUESTIONS = (
    r"GET /v1/metrics/\{name\}|GET /v1/live|POST /v1/query|GET /v1/products/\{id\}/metrics"
    "|GET /v1/engagement|GET /v1/sessions/lengths|GET /v1/retention"
)
_BY_PARAMETERS = ("GET /v1/metrics/{name}", "GET /v1/live")
UNSAYABLE = (
    Unsayable(_QUESTIONS, 422, _ONE + "(from|to)", "from is before to, after 1970 and at most 10 years long: a clock"),
    Unsayable("GET /v1/dead-letters", 422, "from|to", "from is before to: a clock"),
    Unsayable(_QUESTIONS, 422, _ONE + "interval", "how many points there are, and which are kept: a clock"),
    Unsayable(_QUESTIONS, 422, _ONE + "compare", "whether the period before is kept depends on the period"),
    Unsayable(_QUESTIONS, 422, _ONE + "timezone", "whether its days can be made of what is kept depends on the period"),
    Unsayable(_QUESTIONS, 422, _ONE + "limit", "limit times points: both are allowed, their product is not"),
    Unsayable("GET /v1/products/trending", 422, "limit", "limit times points, as above"),
    Unsayable(_QUESTIONS, 422, "queries", "how much all queries of a request ask for together"),
    Unsayable(
        r"GET /v1/metrics/\{name\}|GET /v1/live", 422,
        r"breakdown|event|source|country|device|product_\w+|page|referrer|utm_\w+|channel|os|browser|region|language",
        "which dimensions go together depends on the metric; OpenAPI relates no parameter to another",
    ),
    Unsayable(
        r"GET /v1/metrics/\{name\}|GET /v1/live|POST /v1/query", 422, _ONE + r"(breakdown|property\..+)",
        "which properties a project declares; and of two properties none has a rollup",
    ),
    Unsayable(
        "GET /v1/(users|products|keys|erasures|dead-letters)", 422, "cursor",
        "a cursor is one that was given, of this sort",
    ),
    Unsayable(
        r"(PUT|PATCH|DELETE) /v1/(users|products|keys|projects)/\{id\}", 412, "If-Match", "a tag is one that was given"
    ),
    Unsayable(r"PUT /v1/(users|products)/\{id\}", 412, "If-None-Match", "whether the object is there already"),
    Unsayable("POST /v1/erasures", 422, "user_id", "one of the two names somebody; each alone may be empty"),
    Unsayable("POST /v1/keys", 422, "expires_at", "a new key ends in the future: a clock"),
    Unsayable(
        "POST /v1/(users|products)/import", 400, "header", "that every column is there once is no regular expression"
    ),
    Unsayable(
        "POST (/v1/(batch|b|import)|/beacon/v1/batch)", 400, "None", "with strict, what is wrong with any of the events"
    ),
)  # fmt: skip


# A one-time code or a key in the body decides, whatever the header says.
SIGN_IN = "POST /v1/session"


class _Bearer(AuthBase):
    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, request: Any) -> Any:
        request.headers["Authorization"] = f"Bearer {self._key}"
        return request


@schemathesis.hook
def before_load_schema(context: Any, raw_schema: dict[str, Any]) -> None:
    zone = raw_schema["components"]["schemas"]["TimeZone"]
    zone["enum"] = zone["enum"][:: len(zone["enum"]) // ZONES]


@schemathesis.hook
def filter_case(context: Any, case: Any) -> bool:
    return _read_id(case) not in OWN_KEYS and len(quote(str(case.query or ""), errors="replace")) <= QUERY_BYTES_MAX


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    if case.operation.label == "POST /v1/projects" and response.status_code == 201:
        project = response.json()
        _keys_of_projects[project["project"]["id"]] = project["keys"]["admin_key"]
    if case.operation.label == "POST /v1/live/tickets" and response.status_code in (200, 201):
        _tickets.add(response.json()["ticket"])


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """A new project belongs to its own keys: the key that made it does not see it."""
    if case.operation.label in _BY_PARAMETERS and case.meta is not None and case.meta.generation.mode.is_positive:
        _make_sense(case)
    key = _keys_of_projects.get(_read_id(case))
    if key is not None and "Authorization" not in get_exclude_headers(case):
        kwargs["auth"] = _Bearer(key)


def _make_sense(case: Any) -> None:
    """Half of the questions get a period that is kept and dimensions that go together, so that they are answered."""
    query = case.query or {}
    if len(str(query)) % 2 or not query:
        return
    by_source = () if "online" in f"{query.get('metrics')} {case.path_parameters}" else ("source",)
    names = ("metrics", "ticket", "week_start", "limit", "bots", *by_source)
    case.query = {name: query[name] for name in names if name in query} | {"from": "-2h", "interval": "hour"}


@schemathesis.hook
def filter_failure(context: Any, failure: Failure, case: Any, response: Any) -> bool:
    if not isinstance(failure, RejectedPositiveData):
        return True
    return not any(
        re.fullmatch(exception.operations, case.operation.label)
        and exception.status == response.status_code
        and re.fullmatch(exception.field, str(response.json()["field"]))
        for exception in UNSAYABLE
    )


@schemathesis.check
def check_scope(ctx: Any, response: Any, case: Any) -> None:
    """A key with the operation's scope is let through, any other is refused, whatever else is asked."""
    if case.method != case.operation.method.upper() or _is_other_path(case):
        return
    if case.operation.label == SIGN_IN and response.status_code == 401:
        assert response.json()["field"] in ("start", "key", None), "only what is in the body may be refused"
        return
    if str((case.query or {}).get("ticket", "")) in _tickets:
        return  # it opens the stream once, and for a short time
    scope = case.operation.definition.raw.get("x-scope")
    sent = response.request.headers.get("Authorization", "").removeprefix("Bearer ")
    allowed = (401,) if "ticket" in (case.query or {}) else _find_expected_statuses(sent, scope)
    status = response.status_code
    # 405: the id is a path of the API's own, as `popular`.
    is_right = status in (*allowed, 405) if allowed else status not in (401, 403)
    assert is_right, (
        f"{status} where the operation asks for {scope}, and the key has {sorted(_find_scopes(sent) or ())}"
    )


def _find_expected_statuses(sent: str, scope: str | None) -> tuple[int, ...]:
    """The only statuses that there may be; none: anything but a refusal."""
    scopes = _find_scopes(sent)
    if scope is None or (scopes and scope in scopes):
        return ()
    if scopes:
        return (403,)
    # The key may be in the body, which must be unpacked and read for it.
    return (400, 401, 415) if scope == "collect" else (401,)


def _find_scopes(sent: str) -> frozenset[str] | None:
    """What a key opens that is ours, or was made by a run; None: nothing."""
    if sent and sent in _keys_of_projects.values():
        return frozenset(ALL_SCOPES)
    return SCOPES if sent and sent == KEY else None


def _is_other_path(case: Any) -> bool:
    """Whether an id was made that is none, so that the request may have met another route."""
    return case.meta is not None and any(
        str(location).endswith("path") and info.mode.is_negative for location, info in case.meta.components.items()
    )


def _read_id(case: Any) -> str:
    return str((case.path_parameters or {}).get("id", ""))
