"""The oracle's amounts: decimal text to whole 10⁻⁴ units, and the lines of an order (rules 1 and 5).

Exact: as many digits as the text has, rounded once, half to even.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, NamedTuple

from rtaplatform.simulate.oracle_json import Number

LARGEST = 2**52
_EXPONENT_MAX = 100_000
_EXACT = Context(prec=200_000, Emax=999_999_999, Emin=-999_999_999, rounding=ROUND_HALF_EVEN)
_SCALE = Decimal(10_000)
_TEXT_MAX = 100
_JSON_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", re.ASCII)


class InvalidAmount(Exception):
    """An amount, a line or `products` is not what rule 1 demands."""


class Line(NamedTuple):
    """One line of an order: product id as sent, quantity and amount in 10⁻⁴ units."""

    product_id: Any
    quantity: int
    amount: int


def amount(value: Any) -> int | None:
    """Return the amount in 10⁻⁴ units, None for null. Raises InvalidAmount."""
    number = _decimal(value)
    return None if number is None else _scaled(number)


def lines_of(properties: dict[str, Any]) -> list[Line]:
    """Return the lines: `products`, else one from the root where it names anything. Raises InvalidAmount."""
    products = properties.get("products")
    if products is not None and not isinstance(products, list):
        raise InvalidAmount("products")
    if any(not isinstance(entry, dict) for entry in products or []):
        raise InvalidAmount("products")
    if products:
        return [_line(entry) for entry in products]
    named = any(properties.get(name) is not None for name in ("product_id", "price", "quantity"))
    return [_line(properties)] if named else []


def check(properties: dict[str, Any]) -> None:
    """Raise InvalidAmount where rule 1 sets a commerce event aside."""
    for name in ("price", "quantity", "revenue", "total"):
        amount(properties.get(name))
    _bounded(sum(line.amount for line in lines_of(properties)))


def revenue_of(properties: dict[str, Any], lines: list[Line]) -> int:
    """Return `revenue`, else `total`, else the sum of the lines."""
    for name in ("revenue", "total"):
        given = amount(properties.get(name))
        if given is not None:
            return given
    return sum(line.amount for line in lines)


def _line(entry: dict[str, Any]) -> Line:
    price, quantity = _decimal(entry.get("price")), _decimal(entry.get("quantity"))
    price = Decimal(0) if price is None else price
    quantity = Decimal(1) if quantity is None else quantity
    _scaled(price)
    return Line(entry.get("product_id"), _scaled(quantity), _scaled(_EXACT.multiply(price, quantity)))


def _decimal(value: Any) -> Decimal | None:
    if value is None:
        return None
    text = value.text if isinstance(value, Number) else value
    if not isinstance(text, str) or len(text) > _TEXT_MAX or not _JSON_NUMBER.fullmatch(text):
        raise InvalidAmount(str(value)[:50])
    mantissa, _, exponent = text.lower().partition("e")
    # A mantissa is short, so beyond this exponent the number is nothing or too large anyway.
    return _EXACT.scaleb(Decimal(mantissa), max(-_EXPONENT_MAX, min(_EXPONENT_MAX, _whole(exponent))))


def _whole(exponent: str) -> int:
    digits = exponent.lstrip("+-0")
    size = _EXPONENT_MAX if len(digits) > 6 else int(digits or 0)
    return -size if exponent.startswith("-") else size


def _scaled(number: Decimal) -> int:
    if not number or number.adjusted() < -9:
        return 0
    if number.adjusted() > 18:
        raise InvalidAmount("too large")
    return _bounded(int(_EXACT.multiply(number, _SCALE).to_integral_value(ROUND_HALF_EVEN, _EXACT)))


def _bounded(value: int) -> int:
    if abs(value) > LARGEST:
        raise InvalidAmount("too large")
    return value
