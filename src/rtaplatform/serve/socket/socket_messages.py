"""The messages of the live socket: read what a client sends, write what it gets.   Stage 6 of 6; pure.

A large message is joined of parts, so that the encoded answers are shared by all sockets.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

from rtaplatform.analytics.ask.parse import name_field_in_object, parse_object
from rtaplatform.core.errors import InvalidParameter, Rejected
from rtaplatform.core.query import Query
from rtaplatform.feed.feed_listener import FeedMessage
from rtaplatform.serve.http.problems import describe

MESSAGE_BYTES_MAX = 64 << 10
ID_CHARS_MAX = 64
VERSION_CHARS_MAX = 300
QUERIES_MAX = 20
TYPES = ("subscribe", "unsubscribe", "pong")
FORM = 'For example {"type": "subscribe", "id": "tiles", "query": {"metric": "orders"}}.'


class Subscribe(Struct, frozen=True):
    """Subscribe to queries under an id. `is_list`: the client has sent a list. `since`: the version that it has."""

    id: str
    queries: tuple[Query, ...]
    is_list: bool
    since: str | None = None

    def name_field(self, number: int, field: str | None) -> str:
        """Return the path of a field of one of the queries, as the client has sent them."""
        place = f"query.{number}" if self.is_list else "query"
        return f"{place}.{field}" if field else place


class SubscribeFeed(Struct, frozen=True):
    """Subscribe to the event feed under an id. `fields` are those of its filter, not yet checked."""

    id: str
    fields: dict[str, Any]


class Unsubscribe(Struct, frozen=True):
    id: str


class Pong(Struct, frozen=True):
    """The client's answer to a heartbeat."""


ClientMessage = Subscribe | SubscribeFeed | Unsubscribe | Pong


class WrongMessage(Exception):
    """A message that is wrong, and the id that it names; empty if it names none."""

    def __init__(self, problem: Rejected, id: str = "") -> None:
        super().__init__(problem.detail)
        self.problem, self.id = problem, id


def read_message(text: str) -> ClientMessage:
    """Read a message of the client. Raises WrongMessage."""
    id = ""
    try:
        members = _read_object(text)
        kind = members.get("type")
        if kind == "pong":
            return Pong()
        if kind not in TYPES:
            raise InvalidParameter("`type` is none that is known.", field="type", allowed=list(TYPES), hint=FORM)
        id = _read_id(members)
        return Unsubscribe(id) if kind == "unsubscribe" else _read_subscribe(id, members)
    except Rejected as problem:
        raise WrongMessage(problem, id) from None


def _read_object(text: str) -> dict[str, Any]:
    try:
        content = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidParameter(f"The message is not JSON: {str(error)[:200]}", hint=FORM) from None
    if not isinstance(content, dict):
        raise InvalidParameter("A message is a JSON object.", hint=FORM)
    return content


def _read_id(members: dict[str, Any]) -> str:
    id = members.get("id")
    if not isinstance(id, str) or not 1 <= len(id) <= ID_CHARS_MAX:
        rule = f"a text of 1 to {ID_CHARS_MAX} characters"
        raise InvalidParameter(f"`id` is {rule}.", field="id", allowed=rule, hint=FORM)
    return id


def _read_subscribe(id: str, members: dict[str, Any]) -> Subscribe | SubscribeFeed:
    allowed = ("type", "id", "feed") if "feed" in members else ("type", "id", "query", "since")
    unknown = next((name for name in members if name not in allowed), None)
    if unknown is not None:
        raise InvalidParameter(f"There is no field {unknown[:100]!r}.", field=unknown[:100], allowed=list(allowed))
    if "feed" in members:
        return SubscribeFeed(id, _read_filter(members["feed"]))
    raw, since = members.get("query"), members.get("since")
    if since is not None and (not isinstance(since, str) or len(since) > VERSION_CHARS_MAX):
        raise InvalidParameter("`since` is a version that this socket has sent.", field="since")
    raw_queries = raw if isinstance(raw, list) else [raw]
    if not 1 <= len(raw_queries) <= QUERIES_MAX:
        rule = f"1 to {QUERIES_MAX} queries"
        raise InvalidParameter(f"`query` is a query, or a list of {rule}.", field="query", allowed=rule, hint=FORM)
    shell = Subscribe(id, (), isinstance(raw, list), since)
    queries = tuple(_read_query(shell, number, query) for number, query in enumerate(raw_queries))
    return msgspec.structs.replace(shell, queries=queries)


def _read_filter(raw: object) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise InvalidParameter("`feed` is an object.", field="feed", hint='For example {"event": ["Order Completed"]}.')
    return raw


def _read_query(shell: Subscribe, number: int, raw_query: object) -> Query:
    try:
        return parse_object(raw_query)
    except InvalidParameter as error:
        error.field = shell.name_field(number, name_field_in_object(raw_query, error.field))
        raise


# What the server sends ----------------------------------------------------------------------------------------------


def answers_message(type: str, id: str, version: str, answers: str) -> str:
    """Write a snapshot or an update; `answers` is their list as JSON."""
    return f'{{"type":"{type}","id":{_quote(id)},"version":{_quote(version)},"answers":{answers}}}'


def write_events(id: str, message: FeedMessage) -> str:
    return _write(type="events", id=id, items=message.items, left_out=message.left_out)


def write_resumed(id: str, version: str) -> str:
    return _write(type="resumed", id=id, version=version)


def write_error(id: str, error: Exception) -> str:
    return _write(type="error", id=id, problem=describe(error))


def write_hello(build: str, heartbeat_seconds: float) -> str:
    return _write(type="hello", build=build, heartbeat_seconds=heartbeat_seconds, now=_tell_time())


def write_heartbeat() -> str:
    return _write(type="heartbeat", now=_tell_time())


def write_bye(retry_seconds: float) -> str:
    return _write(type="bye", retry_seconds=retry_seconds)


def _write(**members: Any) -> str:
    return msgspec.json.encode(members).decode()


def _quote(text: str) -> str:
    return msgspec.json.encode(text).decode()


def _tell_time() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
