"""Answers and lists as CSV (RFC 4180), for `Accept: text/csv` or `format=csv`.   Stage 6 of 6.

One row for each result, or for each point where the question has an interval. What an event or a catalog named is text
of strangers: a cell that a spreadsheet would take for a formula begins with an apostrophe.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar, cast

import msgspec
from litestar import Response
from litestar.connection import ASGIConnection
from litestar.response.base import ASGIResponse
from msgspec import UNSET, Struct

from rtaplatform.core.errors import InvalidParameter
from rtaplatform.core.query import Answer

CSV, JSON = "text/csv", "application/json"
FORMATS = {"csv": CSV, "json": JSON}
META_HEADER = "RTA-Meta"
# With an apostrophe that is there already, so that an import reads each cell as it was (catalog/imports/csv_cells.py).
_FORMULA = re.compile(r"'*(?:[\t\r\n]|\s*[=+\-@＝＋－＠])")

Declared = TypeVar("Declared")
AnyConnection = ASGIConnection[Any, Any, Any, Any]
Row = Sequence[Any]


class CsvText(Struct, frozen=True):
    """What a handler returns in place of its answer; `headers` say what has no place in a table."""

    text: bytes
    headers: dict[str, str] = {}


class TableResponse(Response[Any]):
    """The response of a route that answers in JSON or CSV."""

    def to_asgi_response(self, *args: Any, **kwargs: Any) -> ASGIResponse:
        if isinstance(self.content, CsvText):
            return answer_table(self.content).to_asgi_response(*args, **kwargs)
        return super().to_asgi_response(*args, **kwargs)


def answer_table(table: CsvText) -> Response[bytes]:
    headers = {**table.headers, "Content-Disposition": 'inline; filename="rta.csv"'}
    return Response(table.text, media_type=f"{CSV}; charset=utf-8; header=present", headers=headers)


def wants_csv(request: AnyConnection) -> bool:
    """As `format` says, else as `Accept` prefers; JSON where it does not care. Raises InvalidParameter."""
    accept = request.headers.get("accept", "")
    named: list[str] = request.query_params.getall("format", []) if b"format" in request.scope["query_string"] else []
    if len(named) > 1 or (named and named[0] not in FORMATS):
        raise InvalidParameter(
            f"`format` cannot be {','.join(named)[:100]!r}.", field="format", allowed=list(FORMATS),
            hint="Leave it out for JSON.",
        )  # fmt: skip
    if named:
        return named[0] == "csv"
    return "text/" in accept.lower() and _quality(accept, CSV) > _quality(accept, JSON)


def in_place_of(declared: type[Declared], text: CsvText) -> Declared:
    """For a handler that declares its JSON: `TableResponse` knows what it returns instead."""
    return cast(Declared, text)


def write_answer(answer: Answer, breakdown: Sequence[str]) -> CsvText:
    """The dimensions of the breakdown, then the numbers. `meta` is a header."""
    has_points = answer.interval != "none"
    is_compared, is_money = answer.previous_from is not UNSET, answer.currency is not UNSET
    columns = [
        *breakdown, *(("time", "value") if has_points else ()), "total",
        *(("previous",) if is_compared else ()), *(("currency",) if is_money else ()),
    ]  # fmt: skip
    rows = (
        [
            *(result.dimensions[name] for name in breakdown), *point, result.total,
            *((result.previous,) if is_compared else ()), *((answer.currency,) if is_money else ()),
        ]
        for result in answer.results
        for point in (result.points if has_points else [()])
    )  # fmt: skip
    return CsvText(_write(columns, rows), {META_HEADER: msgspec.json.encode(answer.meta).decode()})


def write_objects(items: Sequence[Any], columns: Sequence[str], headers: dict[str, str] | None = None) -> CsvText:
    """One row for each object of a list; what is a list or an object itself is JSON."""
    plain = [msgspec.to_builtins(item) for item in items]
    return CsvText(_write(columns, ([item.get(name) for name in columns] for item in plain)), headers or {})


def _write(columns: Sequence[str], rows: Iterable[Row]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(map(_cell, row))
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return f"'{value}" if _FORMULA.match(value) else value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return msgspec.json.encode(value).decode()
    return value  # a number, or None: an empty cell


def _quality(accept: str, media_type: str) -> float:
    """How much `Accept` wants the type: by its most exact range (RFC 9110); 0 where it names only others."""
    ranges: dict[str, float] = {}
    for part in accept.split(",")[:50]:
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        said = next((piece[2:] for piece in parameters if piece.startswith("q=")), "1")
        ranges[name] = float(said) if re.fullmatch(r"[01](\.\d{0,3})?", said) else 0.0
    for name in (media_type, f"{media_type.partition('/')[0]}/*", "*/*"):
        if name in ranges:
            return ranges[name]
    return 0.0
