"""Whether the amounts of a commerce event can be summed.   Pure; docs/reference/rules.md, 1 and 5.

The collector refuses only what the workers would set aside, by the same arithmetic, so that the sender learns of it.
"""

from __future__ import annotations

from typing import Any

from rtaplatform.core.amounts import AmountError, check_range, scaled, scaled_product

_ROOT = ("price", "quantity", "revenue", "total")


def find_wrong_amount(properties: dict[str, Any]) -> str | None:
    """The path of the first amount that is wrong, or None."""
    for name in _ROOT:
        if not _is_amount(properties.get(name)):
            return f"properties.{name}"
    products = properties.get("products")
    if products is None or products == []:  # the root is the line
        return None if _line_amount(properties) is not None else "properties.price"
    return _find_wrong_line(products)


def _find_wrong_line(products: Any) -> str | None:
    if not isinstance(products, list):
        return "properties.products"
    total = 0
    for index, line in enumerate(products):
        path = f"properties.products.{index}"
        if not isinstance(line, dict):
            return path
        for name in ("price", "quantity"):
            if not _is_amount(line.get(name)):
                return f"{path}.{name}"
        amount = _line_amount(line)
        if amount is None:
            return f"{path}.price"
        total += amount
    return None if _is_in_range(total) else "properties.products"


def _is_amount(value: Any) -> bool:
    try:
        return value is None or scaled(_text(value)) is not None
    except AmountError:
        return False


def _line_amount(line: dict[str, Any]) -> int | None:
    price, quantity = line.get("price"), line.get("quantity")
    try:
        return scaled_product("0" if price is None else _text(price), "1" if quantity is None else _text(quantity))
    except AmountError:
        return None


def _is_in_range(amount: int) -> bool:
    try:
        check_range(amount)
    except AmountError:
        return False
    return True


def _text(value: Any) -> str:
    """Decimal text; a number as it was written. Raises `AmountError`."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise AmountError("is not a number")
    return value if isinstance(value, str) else repr(value)
