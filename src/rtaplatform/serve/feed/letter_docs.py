"""What OpenAPI says of dead letters.   Stage 6 of 6; pure."""

from __future__ import annotations

from rtaplatform.analytics.ask.time_expressions import PATTERN
from rtaplatform.core.events import Reason
from rtaplatform.feed.letter_replay import ReplayResult
from rtaplatform.feed.letter_search import FIELDS_OF_LETTER, KINDS
from rtaplatform.serve.openapi.openapi_pieces import (
    TEXT,
    Docs,
    allow_null,
    make_body_schema,
    make_json_content,
    make_parameter,
    name_schema,
)

LIST_DEFAULT, LIST_MAX = 50, 500
_TIME: Docs = {"type": "string", "pattern": PATTERN}
_KIND: Docs = name_schema("LetterKind", {"type": "string", "enum": list(KINDS)})
_REASON: Docs = name_schema("Reason", {"type": "string", "enum": list(Reason)})
_LIMIT: Docs = {"type": "integer", "minimum": 1, "maximum": LIST_MAX, "default": LIST_DEFAULT}
_OF_LETTER: Docs = {
    **dict.fromkeys(FIELDS_OF_LETTER, allow_null(TEXT)),
    "id": TEXT,
    "kind": _KIND,
    "reason": TEXT,
    "detail": TEXT,
    "persons": {"type": "object", "additionalProperties": TEXT},
    "raw": {"type": "string", "description": "The record as text, at most 8,192 bytes."},
    "is_raw_cut": {"type": "boolean"},
}
LETTER: Docs = name_schema(
    "DeadLetter", {"type": "object", "properties": _OF_LETTER, "required": list(FIELDS_OF_LETTER)}
)
_LIST: Docs = name_schema(
    "DeadLetterPage",
    {
        "type": "object",
        "properties": {
            "items": {"type": "array", "items": LETTER},
            "counts": {"type": "object", "additionalProperties": {"type": "integer"}},
            "next_cursor": allow_null(TEXT),
            "meta": {
                "type": "object",
                "properties": {"scanned_from": allow_null(TEXT)},
                "required": ["scanned_from"],
            },
        },
        "required": ["items", "counts", "next_cursor", "meta"],
    },
)
LIST_LETTERS: Docs = {
    "parameters": [
        make_parameter("kind", "dead: reached Kafka and cannot be counted. rejected: the collector refused it.", _KIND),
        make_parameter("reason", "Only letters with this reason.", _REASON),
        make_parameter(
            "limit", "How many.", {"type": "integer", "minimum": 1, "maximum": LIST_MAX, "default": LIST_DEFAULT}
        ),
        make_parameter("cursor", "`next_cursor` of the page before.", TEXT),
        make_parameter(
            "from", "Written at this time or later: `-<n>` with m, h, d, w, or ISO 8601.", _TIME, example="-24h"
        ),
        make_parameter("to", "Written before this time.", _TIME, example="now"),
    ],
    "responses": {"200": make_json_content("The newest first.", _LIST)},
}
READ_LETTER: Docs = {
    "parameters": [make_parameter("id", "topic:partition:offset", TEXT, "path", example="rta.events.web:2:41")],
    "responses": {"200": make_json_content("The letter.", LETTER)},
}
_REPLAYED: Docs = make_json_content(
    "What became of each letter.",
    name_schema(
        "ReplayedLetters",
        {
            "type": "object",
            "properties": {
                "items": {
                    "type": "array",
                    "items": name_schema(
                        "ReplayedLetter",
                        {
                            "type": "object",
                            "properties": {
                                "id": TEXT,
                                "result": {"type": "string", "enum": list(ReplayResult)},
                                "detail": TEXT,
                            },
                            "required": ["id", "result", "detail"],
                        },
                    ),
                }
            },
            "required": ["items"],
        },
    ),
)
REPLAY_LETTER: Docs = {"parameters": READ_LETTER["parameters"], "responses": {"200": _REPLAYED}}
REPLAY_LETTERS: Docs = {
    "requestBody": make_body_schema(
        {
            "application/json": name_schema(
                "LetterReplay",
                {
                    "type": "object",
                    "properties": {"reason": allow_null(_REASON)},
                    "additionalProperties": False,
                    "example": {"reason": "time_in_future"},
                },
            )
        }
    ),
    "responses": {"200": _REPLAYED},
}
