"""Write answers and lists as CSV (RFC 4180), for `Accept: text/csv` or `format=csv`.   Stage 6 of 6.

An answer has one row per result, or per point if the query has an interval. Texts come from events and catalogs, so
from strangers: a cell that a spreadsheet would read as a formula gets an apostrophe in front.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar, cast

import msgspec
from litestar import Response
from litestar.response.base import ASGIResponse
from msgspec import UNSET, Struct

from rtaplatform.core.errors import InvalidParameter
from rtaplatform.core.query import Answer
from rtaplatform.serve.http.access import AnyConnection

CSV, JSON = "text/csv", "application/json"
FORMATS = {"csv": CSV, "json": JSON}
META_HEADER = "RTA-Meta"
# Cells that begin with apostrophes get one too, so that an import restores each cell (catalog/imports/csv_cells.py).
_FORMULA = re.compile(r"'*(?:[\t\r\n]|\s*[=+\-@＝＋－＠])")

ValueT = TypeVar("ValueT")
Row = Sequence[Any]


class CsvText(Struct, frozen=True):
    """What a handler returns in place of its JSON answer. `headers` have what does not fit in a table."""

    text: bytes
    headers: dict[str, str] = {}


class TableResponse(Response[Any]):
    """The response class of a route that answers in JSON or CSV."""

    def to_asgi_response(self, *args: Any, **kwargs: Any) -> ASGIResponse:
        if isinstance(self.content, CsvText):
            return answer_table(self.content).to_asgi_response(*args, **kwargs)
        return super().to_asgi_response(*args, **kwargs)


def answer_table(table: CsvText) -> Response[bytes]:
    """The framework adds the charset."""
    headers = {**table.headers, "Content-Disposition": 'inline; filename="rta.csv"'}
    return Response(table.text, media_type=f"{CSV}; header=present", headers=headers)


def wants_csv(request: AnyConnection) -> bool:
    """Whether to answer in CSV: by `format`, else by `Accept`. JSON is the default. Raises InvalidParameter."""
    accept = request.headers.get("accept", "")
    has_format = b"format" in request.scope["query_string"]
    formats: list[str] = request.query_params.getall("format", []) if has_format else []
    if len(formats) > 1 or (formats and formats[0] not in FORMATS):
        raise InvalidParameter(
            f"`format` cannot be {','.join(formats)[:100]!r}.", field="format", allowed=list(FORMATS),
            hint="Leave it out for JSON.",
        )  # fmt: skip
    if formats:
        return formats[0] == "csv"
    return "text/" in accept.lower() and _read_quality(accept, CSV) > _read_quality(accept, JSON)


def type_as(value_type: type[ValueT], text: CsvText) -> ValueT:
    """Type the CSV as the declared JSON, for a handler whose response class is `TableResponse`."""
    return cast(ValueT, text)


def write_answer(answer: Answer, breakdown: Sequence[str]) -> CsvText:
    """Write one answer: the dimensions of the breakdown, then the numbers. `meta` becomes a header."""
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
    """Write one row for each object. A value that is a list or an object is written as JSON."""
    plain = [msgspec.to_builtins(item) for item in items]
    return CsvText(_write(columns, ([item.get(name) for name in columns] for item in plain)), headers or {})


def _write(columns: Sequence[str], rows: Iterable[Row]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(map(_write_cell, row))
    return text.getvalue().encode()


def _write_cell(value: Any) -> Any:
    if isinstance(value, str):
        return f"'{value}" if _FORMULA.match(value) else value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return msgspec.json.encode(value).decode()
    return value  # a number, or None: an empty cell


def _read_quality(accept: str, media_type: str) -> float:
    """Return the quality that `Accept` gives the type, by its most exact range (RFC 9110); 0 if no range matches."""
    ranges: dict[str, float] = {}
    for part in accept.split(",")[:50]:
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = next((piece[2:] for piece in parameters if piece.startswith("q=")), "1")
        ranges[name] = float(quality) if re.fullmatch(r"[01](\.\d{0,3})?", quality) else 0.0
    for name in (media_type, f"{media_type.partition('/')[0]}/*", "*/*"):
        if name in ranges:
            return ranges[name]
    return 0.0
