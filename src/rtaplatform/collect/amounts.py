"""Whether the amounts of a commerce event can be summed.   Pure; docs/reference/rules.md, 1 and 5.

The collector only refuses what the workers would set aside, so that the sender learns of it.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

from rtaplatform.core.events import AMOUNT_MAX
from rtaplatform.core.rollups import SCALE

COMMERCE_EVENTS = frozenset(
    {"Product Viewed", "Product Added", "Product Removed", "Checkout Started", "Order Completed", "Order Refunded"}
)
_ROOT = ("price", "quantity", "revenue", "total")
_DECIMAL = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
_EXACT = Context(prec=300, rounding=ROUND_HALF_EVEN)
_ONE = Decimal(1)
TEXT_MAX = 100


def find_wrong_amount(properties: dict[str, Any]) -> str | None:
    """The path of the first amount that is wrong, or None."""
    for name in _ROOT:
        if properties.get(name) is not None and _scaled(properties[name]) is None:
            return f"properties.{name}"
    products = properties.get("products")
    if not products and products in (None, []):  # the root is the line
        return None if isinstance(_line_amount(properties), Decimal) else "properties.price"
    return _find_wrong_line(products)


def _find_wrong_line(products: Any) -> str | None:
    if not isinstance(products, list):
        return "properties.products"
    total = Decimal(0)
    for index, line in enumerate(products):
        amount = _line_amount(line)
        if isinstance(amount, str):
            return f"properties.products.{index}{amount}"
        total += amount
    return None if abs(total) <= AMOUNT_MAX else "properties.products"


def _line_amount(line: Any) -> Decimal | str:
    """Price × quantity after scaling, or the rest of the path to what is wrong."""
    if not isinstance(line, dict):
        return ""
    price, quantity = line.get("price"), line.get("quantity")
    for name, value in (("price", price), ("quantity", quantity)):
        if value is not None and _scaled(value) is None:
            return f".{name}"
    product = _EXACT.multiply(_read(price or 0) or Decimal(0), _read(1 if quantity is None else quantity) or Decimal(0))
    return _bounded(product) if _bounded(product) is not None else ".price"  # type: ignore[return-value]


def _scaled(value: Any) -> Decimal | None:
    number = _read(value)
    return None if number is None else _bounded(number)


def _read(value: Any) -> Decimal | None:
    """The number exactly as written; None where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    text = value if isinstance(value, str) else repr(value)
    return Decimal(text) if len(text) <= TEXT_MAX and _DECIMAL.fullmatch(text) else None


def _bounded(number: Decimal) -> Decimal | None:
    """The number in 10⁻⁴ units, rounded half to even, or None beyond ±2^52."""
    if number and number.adjusted() > 20:
        return None
    scaled = _EXACT.quantize(_EXACT.multiply(number, Decimal(SCALE)), _ONE)
    return scaled if abs(scaled) <= AMOUNT_MAX else None
