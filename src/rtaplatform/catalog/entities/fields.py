"""The fields of users and products: how each is read and checked, and the same rule as JSON Schema.   Pure.

The API, the bulk import and the OpenAPI document share this list, so they cannot differ. A wrong value raises an
InvalidParameter that names the field.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import msgspec
from msgspec import Struct

from rtaplatform.catalog.tables import EMAIL_CHARS_MAX, LABEL_CHARS_MAX, NAME_CHARS_MAX, URL_CHARS_MAX
from rtaplatform.core.errors import InvalidParameter
from rtaplatform.core.values.amounts import SCALE_DIGITS, AmountError, scale_amount
from rtaplatform.core.values.ids import ID_BYTES_MAX, has_control, is_too_long

DEPTH_MAX, KEYS_MAX = 32, 1_000
STORED_ID_BYTES_MAX = 512  # the limit of earlier versions; for new ids see core/values/ids.py
OBJECT_BYTES_MAX = 32_768
ANONYMOUS_IDS_MAX = 100
PRICE_MAX = 2**52 // 10_000  # the range in which amounts of events are summed
YEARS = range(2, 9_999)  # Python can hold such a time in any zone, also a day earlier or later
STATUSES = ("active", "draft", "archived")
CURRENCY = "^[A-Z]{3}$"
NO_NUL = "^[^\\u0000]*$"
IMAGE_URL = r"^(https?://[^\x00-\x20\[\]]+|[^\x00-\x20:\[\]]+)$"
_CENT_OF_CENT = Decimal("0.0001")
_SCALE = float(10**SCALE_DIGITS)
_DECIMAL_COMMA = re.compile(r"-?[0-9]+(?:[. ][0-9]{3})*,[0-9]+", re.ASCII)
_THOUSANDS = re.compile(r"-?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]*)?", re.ASCII)


class Field(Struct, frozen=True):
    """One field. `read` checks a JSON value that is not null. If the value is null or missing, `default` is used."""

    read: Callable[[Any], Any]
    schema: dict[str, Any]
    default: Any = None
    is_required: bool = False


Fields = Mapping[str, Field]
_JSON_KINDS = {list: "a list", str: "text", bool: "true or false", type(None): "null"}


def read_object(document: object, fields: Fields) -> dict[str, Any]:
    """The given fields, checked. Raises InvalidParameter for the first one that is wrong."""
    values: dict[str, Any] = {}
    for name, value in require_object(document, list(fields)).items():
        field = fields.get(name)
        if field is None:
            raise InvalidParameter(f"There is no field `{name[:100]}` here.", field=name[:100], allowed=list(fields))
        values[name] = read_field(name, field, value)
    return values


def require_object(document: object, names: Sequence[str], example: str | None = None) -> dict[str, Any]:
    """The body, which must be an object with some of these names. Raises InvalidParameter."""
    if isinstance(document, dict):
        return document
    example = example or f'{{"{names[0]}": …}}'
    raise InvalidParameter(
        f"The body is {_JSON_KINDS.get(type(document), 'a number')}. It must be a JSON object.",
        field="body", allowed=list(names), hint=f"Send one object, for example {example}.",
    )  # fmt: skip


def read_field(name: str, field: Field, value: Any) -> Any:
    if value is None:
        if field.is_required:
            raise InvalidParameter(f"`{name}` cannot be null.", field=name, allowed=field.schema)
        return field.default
    try:
        return field.read(value)
    except InvalidParameter as error:
        error.field, error.allowed = name, error.allowed or field.schema
        raise


def with_defaults(values: dict[str, Any], fields: Fields) -> dict[str, Any]:
    """All fields. Raises InvalidParameter if a required one is missing."""
    missing_name = next((name for name, field in fields.items() if field.is_required and name not in values), None)
    if missing_name is not None:
        raise InvalidParameter(f"`{missing_name}` is missing.", field=missing_name, allowed=fields[missing_name].schema)
    return {name: values.get(name, field.default) for name, field in fields.items()}


def check_id(value: Any, reserved_ids: frozenset[str] = frozenset()) -> str:
    """An id as events hold it: 1 to 256 bytes of UTF-8 without control characters. A number becomes its text."""
    if type(value) is int:
        value = str(value)
    if not isinstance(value, str) or not value:
        raise InvalidParameter("An id is a string that is not empty, or a number.", field="id", allowed=ID_SCHEMA)
    if has_control(value):
        raise InvalidParameter("An id holds no control character.", field="id", allowed=ID_SCHEMA)
    if is_too_long(value):
        raise InvalidParameter(f"An id has at most {ID_BYTES_MAX} bytes.", field="id", allowed=ID_SCHEMA)
    if value in reserved_ids:
        allowed = f"anything but {', '.join(sorted(reserved_ids))}"
        raise InvalidParameter(f"`{value}` is taken by paths of the API.", field="id", allowed=allowed)
    return value


def read_stored_id(value: Any) -> str:
    """An id that may be stored already. Earlier versions accepted longer and odder ones. Raises InvalidParameter."""
    if type(value) is int:
        value = str(value)
    if not isinstance(value, str) or not value or "\x00" in value or len(value.encode()) > STORED_ID_BYTES_MAX:
        raise InvalidParameter(f"An id is a string of 1 to {STORED_ID_BYTES_MAX} bytes, without NUL, or a number.")
    return value


class _WithId(Struct):
    id: msgspec.Raw = msgspec.Raw(b"")


def decode_with_id(text: bytes) -> Any:
    """Decode JSON. As in events, an `id` that is a number becomes its text as sent. Raises the errors of msgspec."""
    document = msgspec.json.decode(text)
    if isinstance(document, dict) and type(document.get("id")) in (int, float):
        document["id"] = bytes(msgspec.json.decode(text, type=_WithId).id).decode()
    return document


def make_text_field(chars_max: int, *, chars_min: int = 0, is_required: bool = False) -> Field:
    schema: dict[str, Any] = {"type": "string", "maxLength": chars_max, "pattern": NO_NUL}
    if chars_min:
        schema["minLength"] = chars_min

    def read(value: Any) -> str:
        if not isinstance(value, str) or not chars_min <= len(value) <= chars_max or "\x00" in value:
            range_start = f"{chars_min} to " if chars_min else "at most "
            raise InvalidParameter(f"It must be a string of {range_start}{chars_max} characters, without NUL.")
        return value

    return Field(read, schema if is_required else _allow_null(schema), is_required=is_required)


def make_pattern_field(pattern: str, chars_max: int, message: str) -> Field:
    regex = re.compile(pattern.replace("$", r"\Z"))

    def read(value: Any) -> str:
        if not isinstance(value, str) or len(value) > chars_max or "\x00" in value or not regex.search(value):
            # Of a list of values, the field names the list only.
            raise InvalidParameter(message, hint=f"Correct {value[:100]!r}." if isinstance(value, str) else None)
        return value

    return Field(read, _allow_null({"type": "string", "pattern": pattern, "maxLength": chars_max}))


def make_choice_field(values: tuple[str, ...], default: str) -> Field:
    def read(value: Any) -> str:
        if not isinstance(value, str) or value not in values:
            raise InvalidParameter("It must be one of the values in `allowed`.", allowed=list(values))
        return value

    return Field(read, {"type": ["string", "null"], "enum": [*values, None], "default": default}, default)


def _read_price(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= PRICE_MAX:
        raise InvalidParameter(f"It must be a number from 0 to {PRICE_MAX}.")
    return Decimal(str(value)).quantize(_CENT_OF_CENT, ROUND_HALF_EVEN)


def read_amount_text(text: str) -> float:
    """A price in a cell: one plain decimal, by the same rule as amounts in events. Raises InvalidParameter."""
    try:
        return scale_amount(text.strip()) / _SCALE
    except AmountError:
        raise InvalidParameter(_explain_amount_error(text.strip())) from None


def _explain_amount_error(text: str) -> str:
    if _DECIMAL_COMMA.fullmatch(text):
        plain = text.replace(".", "").replace(" ", "").replace(",", ".")
        return f"It has a decimal comma. Write it as {plain}."
    if _THOUSANDS.fullmatch(text):
        return f"It has thousands separators. Write it as {text.replace(',', '')}."
    return "It must be one plain decimal, as 4.50: no currency, no sign, no separators but the point."


def read_time(value: Any) -> datetime:
    """A time in ISO 8601 with its offset."""
    try:
        time = datetime.fromisoformat(value)
    except (ValueError, TypeError):
        time = datetime(1, 1, 1)  # refused below
    if time.tzinfo is None or time.year not in YEARS:
        raise InvalidParameter(
            f"It must be a time in ISO 8601 with its offset, up to the year {YEARS.stop - 1}.",
            allowed="2026-11-22T10:00:00Z",
        )
    return time.astimezone(UTC)


def _read_json(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidParameter("It must be a JSON object.")
    check_json(value)
    return value


def check_json(value: Any) -> None:
    """Raise InvalidParameter if a JSON value is deeper, wider or larger than may be stored."""
    _measure_depth(value, 1, OBJECT_BYTES_MAX)


def _measure_depth(value: Any, depth: int, bytes_left: int) -> int:
    """Roughly how many of `bytes_left` remain after this value. Raises InvalidParameter as soon as none remain."""
    if depth > DEPTH_MAX:
        raise InvalidParameter(f"It is nested deeper than {DEPTH_MAX}.")
    bytes_left -= 8
    if isinstance(value, str):
        if "\x00" in value:
            raise InvalidParameter("It holds the character NUL.")
        bytes_left -= len(value.encode()) - 6
    elif isinstance(value, dict):
        if len(value) > KEYS_MAX:
            raise InvalidParameter(f"An object has more than {KEYS_MAX} keys.")
        for key, item in value.items():
            bytes_left = _measure_depth(item, depth + 1, _measure_depth(key, depth, bytes_left))
    elif isinstance(value, list):
        for item in value:
            bytes_left = _measure_depth(item, depth + 1, bytes_left)
    if bytes_left < 0:
        raise InvalidParameter(f"It is larger than {OBJECT_BYTES_MAX} bytes.")
    return bytes_left


def _read_anonymous_ids(value: Any) -> list[str]:
    if not isinstance(value, list) or len(value) > ANONYMOUS_IDS_MAX:
        raise InvalidParameter(f"It must be a list of at most {ANONYMOUS_IDS_MAX} ids.")
    return list(dict.fromkeys(check_id(item) for item in value))


def _read_stored_ids(value: Any) -> list[str]:
    if not isinstance(value, list) or len(value) > ANONYMOUS_IDS_MAX:
        raise InvalidParameter(f"It must be a list of at most {ANONYMOUS_IDS_MAX} ids.")
    return list(dict.fromkeys(map(read_stored_id, value)))


def _allow_null(schema: dict[str, Any]) -> dict[str, Any]:
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return {**schema, "type": [*types, "null"]}


_TIME = Field(read_time, {"type": ["string", "null"], "format": "date-time"})
OBJECT_SCHEMA: dict[str, Any] = {
    "type": ["object", "null"],
    "maxProperties": KEYS_MAX,
    "propertyNames": {"pattern": NO_NUL},
    "additionalProperties": {"$ref": "#/components/schemas/JsonValue"},
}
_JSON = Field(_read_json, OBJECT_SCHEMA, {})
ID_PATTERN = "^[^\\u0000-\\u001f\\u007f]*$"
ID_SCHEMA: dict[str, Any] = {
    "type": "string",
    "minLength": 1,
    "maxLength": ID_BYTES_MAX,
    "pattern": ID_PATTERN,
    "description": f"The id in events, 1 to {ID_BYTES_MAX} bytes of UTF-8 without control characters.",
}
GIVEN_ID_SCHEMA = {**ID_SCHEMA, "type": ["string", "integer"]}  # an id in a body
USER_FIELDS: Fields = {
    "email": make_text_field(EMAIL_CHARS_MAX),
    "name": make_text_field(NAME_CHARS_MAX),
    "traits": _JSON,
    "anonymous_ids": Field(
        _read_anonymous_ids,
        {"type": ["array", "null"], "maxItems": ANONYMOUS_IDS_MAX, "items": GIVEN_ID_SCHEMA},
        [],
    ),
    "first_seen": _TIME,
    "last_seen": _TIME,
}
# An erasure may name ids of earlier versions, which are longer than new ones may be.
STORED_ID_SCHEMA = {**GIVEN_ID_SCHEMA, "maxLength": STORED_ID_BYTES_MAX, "pattern": NO_NUL}
ERASURE_FIELDS: Fields = {
    "user_id": Field(read_stored_id, _allow_null(STORED_ID_SCHEMA)),
    "anonymous_ids": Field(
        _read_stored_ids, {"type": ["array", "null"], "maxItems": ANONYMOUS_IDS_MAX, "items": STORED_ID_SCHEMA}, []
    ),
}
PRODUCT_FIELDS: Fields = {
    "name": make_text_field(NAME_CHARS_MAX),
    "category": make_text_field(LABEL_CHARS_MAX),
    "brand": make_text_field(LABEL_CHARS_MAX),
    "price": Field(_read_price, {"type": ["number", "null"], "minimum": 0, "maximum": PRICE_MAX}),
    "currency": make_pattern_field(CURRENCY, 3, "It must be a currency's three letters, as EUR."),
    "image_url": make_pattern_field(IMAGE_URL, URL_CHARS_MAX, "It must be an http(s) address or a path without colon."),
    "attributes": _JSON,
    "status": make_choice_field(STATUSES, "active"),
}
