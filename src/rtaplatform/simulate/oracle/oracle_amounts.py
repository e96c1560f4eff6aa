"""The oracle's amounts: numbers to whole 10⁻⁴ units, the lines of an order, its currency (rule 5).

Exact: all digits of the text are used, and the result is rounded once, half to even. An amount that cannot be read is
treated as missing.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, NamedTuple

from rtaplatform.simulate.oracle.oracle_json import OracleNumber, is_empty

LARGEST = 2**52
_EXPONENT_MAX = 100_000
_EXACT = Context(prec=200_000, Emax=999_999_999, Emin=-999_999_999, rounding=ROUND_HALF_EVEN)
_SCALE = Decimal(10_000)
_TEXT_MAX = 1_000
_JSON_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
_PLAIN_DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)([.][0-9]+)?")
_ROOT = ("price", "quantity", "revenue", "total")


class InvalidAmount(Exception):
    """A value is not an amount, or is out of range."""


class OracleLine(NamedTuple):
    """One line of an order: product id as sent, quantity and amount in 10⁻⁴ units."""

    product_id: Any
    quantity: int
    amount: int


class OracleAmounts(NamedTuple):
    """The lines, the stated revenue if there is one, and whether an amount could not be read."""

    lines: list[OracleLine]
    stated: int | None
    unreadable: bool


def read_amount(value: Any) -> int | None:
    """Return the amount in 10⁻⁴ units, None for null. Raises InvalidAmount."""
    number = _to_decimal(value)
    return None if number is None else _scale_number(number)


def read_amounts(properties: dict[str, Any]) -> OracleAmounts:
    """Return all amounts of a commerce event."""
    problems: list[str] = []
    root = {name: _check_amount(properties.get(name), problems) for name in _ROOT}
    entries = _read_entries(properties.get("products"), problems)
    if entries:
        lines = [_read_line(entry.get("product_id"), entry, problems) for entry in entries]
        lines = _drop_overflows(lines, problems)
    else:
        root_values = [properties.get("product_id"), root["price"], root["quantity"]]
        lines = [_read_line(root_values[0], root, problems)] if any(value is not None for value in root_values) else []
    stated_amount = next((read_amount(root[name]) for name in ("revenue", "total") if root[name] is not None), None)
    return OracleAmounts(lines, stated_amount, bool(problems))


def read_lines(properties: dict[str, Any]) -> list[OracleLine]:
    """Return the lines: `products`, or else one line from the root if it has any of the fields."""
    return read_amounts(properties).lines


def read_revenue(properties: dict[str, Any], lines: list[OracleLine]) -> int:
    """Return `revenue`, else `total`, else the sum of the lines."""
    stated_amount = read_amounts(properties).stated
    return sum(line.amount for line in lines) if stated_amount is None else stated_amount


def is_in_other_currency(code: Any, currency: str) -> bool:
    """Return whether an order's currency differs from the project's, or is not a currency code at all."""
    if not isinstance(code, str):
        return code is not None
    letters = list(code)
    while letters and _is_ignorable(letters[-1]):
        letters.pop()
    while letters and _is_ignorable(letters[0]):
        letters.pop(0)
    text = "".join(letters)
    return bool(text) and not (re.fullmatch("[A-Za-z]{3}", text) and text.upper() == currency)


def _is_ignorable(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) in ("Cc", "Cf")


def _read_entries(products: Any, problems: list[str]) -> list[dict[str, Any]]:
    if products is None or is_empty(products):
        return []
    if isinstance(products, dict):
        products = list(products.values())
    if not isinstance(products, list):
        problems.append("products")
        return []
    entries = []
    for entry in products:
        if isinstance(entry, dict) or is_empty(entry):
            entries.append(entry or {})
        elif entry is not None:
            problems.append("products")
    return entries


def _check_amount(value: Any, problems: list[str]) -> Any:
    """Return the value, or None if it is not an amount."""
    try:
        read_amount(value)
    except InvalidAmount:
        problems.append("amount")
        return None
    return value


def _read_line(product_id: Any, entry: dict[str, Any], problems: list[str]) -> OracleLine:
    price, quantity = (_to_decimal(_check_amount(entry.get(name), problems)) for name in ("price", "quantity"))
    price = Decimal(0) if price is None else price
    quantity = Decimal(1) if quantity is None else quantity
    try:
        total = _scale_number(_EXACT.multiply(price, quantity))
    except InvalidAmount:
        problems.append("line")
        total = 0
    return OracleLine(product_id, _scale_number(quantity), total)


def _drop_overflows(lines: list[OracleLine], problems: list[str]) -> list[OracleLine]:
    for name in ("amount", "quantity"):
        sums: Counter[str] = Counter()
        for line in lines:
            sums[_read_product_name(line.product_id)] += getattr(line, name)
        if any(abs(total) > LARGEST for total in (*sums.values(), sum(sums.values()))):
            problems.append(name)
            lines = [line._replace(**{name: 0}) for line in lines]
    return lines


def _read_product_name(value: Any) -> str:
    from rtaplatform.simulate.oracle.oracle_event import read_dimension

    return read_dimension(value)


def _to_decimal(value: Any) -> Decimal | None:
    if value is None:
        return None
    text, form = _read_number_text(value)
    if len(text) > _TEXT_MAX or not form.fullmatch(text):
        raise InvalidAmount(text[:50])
    mantissa, _, exponent = text.lower().partition("e")
    # The mantissa is short, so a number beyond this exponent is zero or too large anyway.
    return _EXACT.scaleb(Decimal(mantissa), max(-_EXPONENT_MAX, min(_EXPONENT_MAX, _read_exponent(exponent))))


def _read_number_text(value: Any) -> tuple[str, re.Pattern[str]]:
    if isinstance(value, OracleNumber):
        return value.text, _JSON_NUMBER
    if isinstance(value, str):
        return value.strip(), _PLAIN_DECIMAL
    raise InvalidAmount(str(value)[:50])


def _read_exponent(exponent: str) -> int:
    digits = exponent.lstrip("+-0")
    size = _EXPONENT_MAX if len(digits) > 6 else int(digits or 0)
    return -size if exponent.startswith("-") else size


def _scale_number(number: Decimal) -> int:
    if not number or number.adjusted() < -9:
        return 0
    if number.adjusted() > 18:
        raise InvalidAmount("too large")
    return _check_bound(int(_EXACT.multiply(number, _SCALE).to_integral_value(ROUND_HALF_EVEN, _EXACT)))


def _check_bound(value: int) -> int:
    if abs(value) > LARGEST:
        raise InvalidAmount("too large")
    return value
