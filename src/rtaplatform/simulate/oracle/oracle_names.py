"""The oracle's other names: events of Segment's first spec and of Google Analytics 4, told in the words of the second.

A plain rewriting of the whole event, once, before anything else is read from it (rule 5).
"""

from __future__ import annotations

from typing import Any, NamedTuple

_VERB_FIRST = {
    "Viewed Product": "Product Viewed",
    "Added Product": "Product Added",
    "Removed Product": "Product Removed",
    "Completed Order": "Order Completed",
}
_GOOGLE = {
    "view_item": "Product Viewed",
    "add_to_cart": "Product Added",
    "remove_from_cart": "Product Removed",
    "begin_checkout": "Checkout Started",
    "purchase": "Order Completed",
    "refund": "Order Refunded",
}


class Retold(NamedTuple):
    """An event in the words of the second spec. `by_lines`: also a view or an add has its products in lines."""

    track: str
    properties: dict[str, Any]
    by_lines: bool


def retell(track: str, properties: dict[str, Any]) -> Retold:
    """Return the event as the second spec would have it; itself where it is told so already."""
    if track in _VERB_FIRST:
        return Retold(_VERB_FIRST[track], _retell_first(track, properties), by_lines=False)
    if track not in _GOOGLE:
        return Retold(track, properties, by_lines=False)
    retold_properties = dict(properties)
    for new, old in (("order_id", "transaction_id"), ("revenue", "value"), ("products", "items")):
        if retold_properties.get(new) is None:
            retold_properties[new] = properties.get(old)
    retold_properties["products"] = _rename_lines(retold_properties["products"], "item_id")
    return Retold(_GOOGLE[track], retold_properties, by_lines=retold_properties.get("product_id") is None)


def _retell_first(track: str, properties: dict[str, Any]) -> dict[str, Any]:
    retold_properties = dict(properties)
    new, old = ("order_id", "orderId") if track == "Completed Order" else ("product_id", "id")
    if retold_properties.get(new) is None:
        retold_properties[new] = properties.get(old)
    retold_properties["products"] = _rename_lines(properties.get("products"), "id")
    return retold_properties


def _rename_lines(products: Any, old: str) -> Any:
    if isinstance(products, dict):
        return {key: _rename_line(entry, old) for key, entry in products.items()}
    return [_rename_line(entry, old) for entry in products] if isinstance(products, list) else products


def _rename_line(entry: Any, old: str) -> Any:
    if not isinstance(entry, dict) or entry.get("product_id") is not None:
        return entry
    return {**entry, "product_id": entry.get(old)}
