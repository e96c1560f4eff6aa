"""`/v1/dead-letters`: what could not be counted and what was refused, with reasons and remedies.   Stage 6 of 6.

A project sees its own letters. Those of unknown projects are for operators: `rta dead-letters` shows them.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
from litestar import MediaType, Response, get, post
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath

from rtaplatform.analytics.ask.time_expressions import read_moment, resolve
from rtaplatform.catalog.entities.fields import require_object
from rtaplatform.catalog.keys.key_format import ADMIN
from rtaplatform.core.errors import InvalidParameter
from rtaplatform.core.events import Reason
from rtaplatform.core.values.cursors import open_cursor, pack_position
from rtaplatform.feed.event_items import DEAD
from rtaplatform.feed.letter_replay import REPLAYED_MAX
from rtaplatform.feed.letter_search import (
    ALWAYS_MS,
    FIELDS_OF_LETTER,
    KINDS,
    LetterQuestion,
    describe_letter,
    find_place,
)
from rtaplatform.serve.catalog.catalog_http import answer_list, decode_id, read_json
from rtaplatform.serve.feed.letter_docs import (
    LIST_DEFAULT,
    LIST_LETTERS,
    LIST_MAX,
    READ_LETTER,
    REPLAY_LETTER,
    REPLAY_LETTERS,
)
from rtaplatform.serve.http.access import get_access
from rtaplatform.serve.http.csv_tables import wants_csv
from rtaplatform.serve.http.dependencies import AnyRequest, require_letters, require_replay
from rtaplatform.serve.http.parameters import read_limit, read_parameters

TAGS = ["dead letters"]
PARAMETERS = ("kind", "reason", "limit", "cursor", "from", "to", "format")
_encode = msgspec.json.Encoder().encode


@get(
    "/v1/dead-letters", opt={"scope": ADMIN, "csv": True, "docs": LIST_LETTERS}, tags=TAGS, summary="List dead letters"
)
async def list_letters(request: AnyRequest) -> Response[bytes]:
    """Newest first, with counts by reason. `kind=rejected` lists what the collector has refused in the last 7 days."""
    is_table = wants_csv(request)
    question = _read_question(request, get_access(request).project)
    page = await asyncio.to_thread(require_letters(request).find, question)
    items = [describe_letter(letter) for letter in page.letters]
    next_cursor = (
        pack_position(find_place(page.letters[-1]), _list_bounds(request, question)) if page.has_more else None
    )
    meta = {"scanned_from": page.scanned_from}
    if is_table:
        table_meta = {**meta, "counts": page.counts}
        return answer_list(request, items, FIELDS_OF_LETTER, next_cursor, meta=table_meta)
    answer = {"items": items, "counts": page.counts, "next_cursor": next_cursor, "meta": meta}
    return _answer(answer)


@get("/v1/dead-letters/{id:str}", opt={"scope": ADMIN, "docs": READ_LETTER}, tags=TAGS, summary="One dead letter")
async def read_letter(request: AnyRequest, id: FromPath[str]) -> Response[bytes]:
    """The record as text, why it is not counted, and what to do about it."""
    read_parameters(request, ())
    letter = await asyncio.to_thread(require_letters(request).find_one, decode_id(id), get_access(request).project)
    return _answer(describe_letter(letter))


@post(
    "/v1/dead-letters/{id:str}/replay", opt={"scope": ADMIN, "docs": REPLAY_LETTER}, tags=TAGS,
    summary="Replay a dead letter", status_code=200,
)  # fmt: skip
async def replay_letter(request: AnyRequest, id: FromPath[str]) -> Response[bytes]:
    """Write the record again. Of all replays of a letter at most one counts."""
    read_parameters(request, ())
    replay = require_replay(request).replay_one
    return _answer({"items": [await asyncio.to_thread(replay, decode_id(id), get_access(request).project)]})


@post(
    "/v1/dead-letters/replay", opt={"scope": ADMIN, "docs": REPLAY_LETTERS}, tags=TAGS,
    summary="Replay the project's dead letters", status_code=200,
)  # fmt: skip
async def replay_letters(request: AnyRequest) -> Response[bytes]:
    """Up to 1,000 of the newest, the oldest of these first; with `reason` only those."""
    read_parameters(request, ())
    body = require_object(await read_json(request), ["reason"], '{"reason": "time_in_future"}, or {}')
    unknown = sorted(body.keys() - {"reason"})
    if unknown:
        raise InvalidParameter.unknown(unknown[0], ("reason",))
    reason = body.get("reason")
    if reason is not None and reason not in tuple(Reason):
        raise InvalidParameter("There is no such reason.", field="reason", allowed=list(Reason))
    question = LetterQuestion(DEAD, get_access(request).project, reason, limit=REPLAYED_MAX)
    return _answer({"items": await asyncio.to_thread(require_replay(request).replay_all, question)})


route_handlers: list[BaseRouteHandler] = [list_letters, read_letter, replay_letter, replay_letters]


def _read_question(request: AnyRequest, project: str) -> LetterQuestion:
    parameters = read_parameters(request, PARAMETERS)
    now_ms = time.time_ns() // 1_000_000
    bound_names = [name for name in ("from", "to") if name in parameters]
    moments = {name: resolve(read_moment(parameters[name], name), "UTC", now_ms) for name in bound_names}
    if len(moments) == 2 and moments["from"] >= moments["to"]:
        raise InvalidParameter("`from` is not before `to`.", field="from", allowed="a time before `to`")
    question = LetterQuestion(
        kind=_read_choice(parameters, "kind", KINDS) or DEAD,
        project=project,
        reason=_read_choice(parameters, "reason", tuple(Reason)),
        from_ms=moments.get("from", 0),
        to_ms=moments.get("to", ALWAYS_MS),
        limit=read_limit(parameters, LIST_DEFAULT, LIST_MAX),
    )
    if "cursor" not in parameters:
        return question
    before = open_cursor(parameters["cursor"], _list_bounds(request, question), tuple[int, str])
    return msgspec.structs.replace(question, before=before)


def _list_bounds(request: AnyRequest, question: LetterQuestion) -> list[Any]:
    """What a cursor of this list is valid for. A period counts as it was sent: `-1h` moves while one pages."""
    period = [request.query_params.get(name) for name in ("from", "to")]
    return ["dead-letters", question.project, question.kind, question.reason, period]


def _read_choice(parameters: dict[str, str], name: str, allowed: tuple[str, ...]) -> str | None:
    value = parameters.get(name)
    if value is not None and value not in allowed:
        raise InvalidParameter(f"`{name}` cannot be {value[:100]!r}.", field=name, allowed=list(allowed))
    return value


def _answer(answer: dict[str, Any]) -> Response[bytes]:
    return Response(content=_encode(answer), media_type=MediaType.JSON)
