"""What older and other specs call a commerce event and its properties.   Pure; one table for collector and workers.

Everything else knows the names of Segment's E-commerce V2 spec only. An event of Segment's V1 spec or of Google
Analytics 4 is counted under its V2 name, and its properties are read as those of V2. What a V2 property says goes
first: another spec's name is read only where that one is absent or null.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Raw, Struct

from rtaplatform.core.events import COMMERCE_EVENTS
from rtaplatform.core.values.dimensions import as_dimension
from rtaplatform.core.values.json_text import is_nothing


class ForeignEvent(Struct, frozen=True, eq=False):
    """A commerce event under another spec's name. `properties`, `entry`: V2's property → the other spec's.

    `entry` is about the entries of `products`. `views_entries`: a view or an add names its products there.
    """

    event: str
    properties: Mapping[str, str]
    entry: Mapping[str, str]
    views_entries: bool = False


def _make_v1_event(event: str, properties: Mapping[str, str]) -> ForeignEvent:
    return ForeignEvent(event, properties, {"product_id": "id"})


def _make_ga4_event(event: str) -> ForeignEvent:
    names = {"order_id": "transaction_id", "revenue": "value", "products": "items"}
    return ForeignEvent(event, names, {"product_id": "item_id"}, views_entries=True)


FOREIGN_EVENTS: Mapping[str, ForeignEvent] = {
    "Viewed Product": _make_v1_event("Product Viewed", {"product_id": "id"}),
    "Added Product": _make_v1_event("Product Added", {"product_id": "id"}),
    "Removed Product": _make_v1_event("Product Removed", {"product_id": "id"}),
    "Completed Order": _make_v1_event("Order Completed", {"order_id": "orderId"}),
    "view_item": _make_ga4_event("Product Viewed"),
    "add_to_cart": _make_ga4_event("Product Added"),
    "remove_from_cart": _make_ga4_event("Product Removed"),
    "begin_checkout": _make_ga4_event("Checkout Started"),
    "purchase": _make_ga4_event("Order Completed"),
    "refund": _make_ga4_event("Order Refunded"),
}

_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_list = msgspec.json.Decoder(list[Raw]).decode
_encode = msgspec.json.Encoder().encode


def find_event_name(name: str) -> str:
    """The name that an event is counted under; `name` is a dimension's value."""
    foreign = FOREIGN_EVENTS.get(name)
    return name if foreign is None else foreign.event


def is_commerce(event: str) -> bool:
    """Whether a track of that name is one whose products and amounts are read."""
    return event in COMMERCE_EVENTS or find_event_name(as_dimension(event)) in COMMERCE_EVENTS


def read_as_v2(event: str, properties: bytes) -> bytes:
    """The properties of an event of that name, by V2's names."""
    foreign = FOREIGN_EVENTS.get(as_dimension(event))
    return properties if foreign is None else translate_properties(foreign, properties)


def translate_properties(foreign: ForeignEvent, properties: bytes) -> bytes:
    """The properties (an object's JSON text) with V2's names beside the other spec's."""
    renamed = _with_names(_decode_object(properties), foreign.properties)
    products = bytes(renamed.get("products", Raw()))
    if products[:1] == b"[":
        renamed["products"] = Raw(_encode([_translate_entry(raw, foreign) for raw in _decode_list(products)]))
    elif products[:1] == b"{":
        renamed["products"] = Raw(
            _encode({key: _translate_entry(raw, foreign) for key, raw in _decode_object(products).items()})
        )
    return _encode(renamed)


def _translate_entry(raw: Raw, foreign: ForeignEvent) -> Raw:
    return Raw(_encode(_with_names(_decode_object(raw), foreign.entry))) if bytes(raw)[:1] == b"{" else raw


def _with_names(fields: dict[str, Raw], names: Mapping[str, str]) -> dict[str, Raw]:
    for our_name, their_names in names.items():
        if their_names in fields and is_nothing(fields.get(our_name, Raw())):
            fields[our_name] = fields[their_names]
    return fields
