"""Decimal text → integers in 10⁻⁴ units.   Pure; read by collector and workers.

Exact: made from the text, never through a float; rounded once, half to even; price × quantity is
multiplied exactly first. So any order of adding gives the same total.
"""

from __future__ import annotations

import re
from functools import lru_cache

from rtaplatform.core.events import AMOUNT_MAX

TEXT_MAX = 100
SCALE_DIGITS = 4
_NUMBER = re.compile(r"(-?)(0|[1-9]\d*)(?:\.(\d+))?(?:[eE]([+-]?\d+))?", re.ASCII)


class AmountError(ValueError):
    """Not an amount; the message is a sentence without the value."""


@lru_cache(maxsize=65_536)
def scaled(text: str) -> int:
    """The amount in 10⁻⁴ units, within ±2^52."""
    return _scaled(*_parts(text))


@lru_cache(maxsize=65_536)
def scaled_product(price: str, quantity: str) -> int:
    """price × quantity in 10⁻⁴ units, rounded once, within ±2^52."""
    (m1, e1), (m2, e2) = _parts(price), _parts(quantity)
    return _scaled(m1 * m2, e1 + e2)


def check_range(amount: int) -> int:
    if not -AMOUNT_MAX <= amount <= AMOUNT_MAX:
        raise AmountError("is beyond ±2^52 ten-thousandths")
    return amount


def _parts(text: str) -> tuple[int, int]:
    """mantissa × 10^exponent"""
    form = _NUMBER.fullmatch(text) if len(text) <= TEXT_MAX else None
    if form is None:
        raise AmountError("is not a number")
    sign, whole, fraction, exponent = form.groups()
    mantissa = int(whole + (fraction or ""))
    return (-mantissa if sign else mantissa), int(exponent or 0) - len(fraction or "")


def _scaled(mantissa: int, exponent: int) -> int:
    shift = exponent + SCALE_DIGITS
    if mantissa == 0 or shift < -4 * TEXT_MAX:
        return 0
    if shift > 20:
        raise AmountError("is beyond ±2^52 ten-thousandths")
    return check_range(mantissa * 10**shift if shift >= 0 else _divide_half_even(mantissa, 10**-shift))


def _divide_half_even(n: int, by: int) -> int:
    quotient, rest = divmod(n, by)
    if rest * 2 > by or (rest * 2 == by and quotient % 2):
        quotient += 1
    return quotient
