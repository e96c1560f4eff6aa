"""Decimal text → integers in 10⁻⁴ units.   Pure.

Amounts are exact: read from the text, never through a float, and rounded once, half to even. A product of price and
quantity is computed exactly before it is rounded. So any order of adding gives the same total.
"""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec
from msgspec import Raw

from rtaplatform.core.events import AMOUNT_MAX
from rtaplatform.core.values.json_text import is_nothing

TEXT_MAX = 1_000
CACHED_TEXT_MAX = 32  # longer texts are rare, and could fill a cache
SCALE_DIGITS = 4
_NUMBER = re.compile(r"(-?)(0|[1-9]\d*)(?:\.(\d+))?(?:[eE]([+-]?\d+))?", re.ASCII)
_PLAIN = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?", re.ASCII)


class AmountError(ValueError):
    """Not an amount; the message is a sentence without the value."""


def read_amount_text(raw: Raw) -> str | None:
    """The number in a JSON value: a number, or a text with one plain decimal, which may have blanks around it.

    None if the value is absent or null. Raises `AmountError` if it is no amount, or is out of range.
    """
    if is_nothing(raw):
        return None
    value = bytes(raw)
    if value[:1] == b'"':
        number: str = msgspec.json.decode(value).strip()
        if not _PLAIN.fullmatch(number):
            raise AmountError("is no plain decimal")
    elif value[:1] in b"-0123456789":
        number = value.decode()
    else:
        raise AmountError("is not a number")
    scale_amount(number)
    return number


def scale_amount(text: str) -> int:
    """The amount in 10⁻⁴ units, within ±2^52."""
    return _scale_cached(text) if len(text) <= CACHED_TEXT_MAX else _scale(*_read_decimal(text))


def scale_product(price: str, quantity: str) -> int:
    """price × quantity in 10⁻⁴ units, rounded once, within ±2^52."""
    if len(price) + len(quantity) <= CACHED_TEXT_MAX:
        return _scale_cached_product(price, quantity)
    return _scale_product(price, quantity)


@lru_cache(maxsize=65_536)
def _scale_cached(text: str) -> int:
    return _scale(*_read_decimal(text))


def _scale_product(price: str, quantity: str) -> int:
    (m1, e1), (m2, e2) = _read_decimal(price), _read_decimal(quantity)
    return _scale(m1 * m2, e1 + e2)


_scale_cached_product = lru_cache(maxsize=65_536)(_scale_product)


def is_in_range(amount: int) -> bool:
    return -AMOUNT_MAX <= amount <= AMOUNT_MAX


def check_range(amount: int) -> int:
    if not is_in_range(amount):
        raise AmountError("is beyond ±2^52 ten-thousandths")
    return amount


def _read_decimal(text: str) -> tuple[int, int]:
    """Read mantissa and exponent: the number is mantissa × 10^exponent."""
    form = _NUMBER.fullmatch(text) if len(text) <= TEXT_MAX else None
    if form is None:
        raise AmountError("is not a number")
    sign, whole, fraction, exponent = form.groups()
    mantissa = int(whole + (fraction or ""))
    return (-mantissa if sign else mantissa), int(exponent or 0) - len(fraction or "")


def _scale(mantissa: int, exponent: int) -> int:
    shift = exponent + SCALE_DIGITS
    if mantissa == 0 or shift < -4 * TEXT_MAX:
        return 0
    if shift > 20:
        raise AmountError("is beyond ±2^52 ten-thousandths")
    return check_range(mantissa * 10**shift if shift >= 0 else _divide_half_even(mantissa, 10**-shift))


def _divide_half_even(n: int, by: int) -> int:
    quotient, remainder = divmod(n, by)
    if remainder * 2 > by or (remainder * 2 == by and quotient % 2):
        quotient += 1
    return quotient
