"""The properties of a commerce event: its ids, lines and currency.   Pure; read by collector and workers.

Names follow Segment's E-commerce V2 spec; `values/commerce_names.py` has those of other specs. An event is refused only
for an id that is too long (docs/reference/rules.md, 1 and 5).
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

import msgspec
from msgspec import Raw, Struct

from rtaplatform.core.values.ids import ID_BYTES_MAX, is_too_long
from rtaplatform.core.values.json_text import is_empty_object, is_nothing, read_dimension_text

CURRENCY_CHARACTERS_KEPT = 8  # longer texts are rare, and could fill a cache
OTHER_CURRENCY = "?"  # for a text that names no currency
_CURRENCY = re.compile(r"[A-Za-z]{3}")


class CommerceProperties(Struct, gc=False):
    """`currency`: three letters, empty if absent, or OTHER_CURRENCY."""

    product_id: str | None = None
    order_id: Raw = Raw()
    price: Raw = Raw()
    quantity: Raw = Raw()
    revenue: Raw = Raw()
    total: Raw = Raw()
    currency: str | None = None
    products: Raw = Raw()


class LenientProperties(Struct):
    """The same fields with values of any type."""

    product_id: Raw = Raw()
    order_id: Raw = Raw()
    price: Raw = Raw()
    quantity: Raw = Raw()
    revenue: Raw = Raw()
    total: Raw = Raw()
    currency: Raw = Raw()
    products: Raw = Raw()


class ProductEntry(Struct):
    """One entry of `products`."""

    product_id: Raw = Raw()
    price: Raw = Raw()
    quantity: Raw = Raw()


class ProductEntries(Struct):
    """The entries of `products` that can be read. `is_whole`: whether that is all of them."""

    entries: list[ProductEntry]
    is_whole: bool = True


_decode_properties = msgspec.json.Decoder(CommerceProperties).decode
_decode_lenient = msgspec.json.Decoder(LenientProperties).decode
_decode_entries = msgspec.json.Decoder(list[ProductEntry]).decode
_decode_entry = msgspec.json.Decoder(ProductEntry).decode
_decode_list = msgspec.json.Decoder(list[Raw]).decode
_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode


def read_properties(text: bytes) -> CommerceProperties:
    """Read the properties from an object's JSON text."""
    try:
        properties = _decode_properties(text)
    except msgspec.ValidationError:
        lenient = _decode_lenient(text)
        return CommerceProperties(
            product_id=read_dimension_text(lenient.product_id),
            order_id=lenient.order_id,
            price=lenient.price,
            quantity=lenient.quantity,
            revenue=lenient.revenue,
            total=lenient.total,
            currency=_read_lenient_currency(lenient.currency),
            products=lenient.products,
        )
    properties.currency = read_currency(properties.currency)
    return properties


def _read_lenient_currency(raw: Raw) -> str:
    text = bytes(raw)
    return read_currency(msgspec.json.decode(text)) if text[:1] == b'"' else "" if is_nothing(raw) else OTHER_CURRENCY


def read_currency(text: str | None) -> str:
    """Three capital letters; empty if there is no text; OTHER_CURRENCY if the text names no currency."""
    if not text:
        return ""
    return _cached_currency(text) if len(text) <= CURRENCY_CHARACTERS_KEPT else _read_currency(text)


def _read_currency(text: str) -> str:
    bare = text if text.isalpha() else _strip_invisible(text)
    if not bare:
        return ""
    return bare.upper() if _CURRENCY.fullmatch(bare) else OTHER_CURRENCY


_cached_currency = lru_cache(maxsize=1_024)(_read_currency)


def _strip_invisible(text: str) -> str:
    """The text without leading and trailing blanks, control characters and zero-width characters."""
    first, end = 0, len(text)
    while first < end and _is_blank(text[first]):
        first += 1
    while first < end and _is_blank(text[end - 1]):
        end -= 1
    return text[first:end]


def _is_blank(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) in ("Cc", "Cf")


def read_entries(products: Raw) -> ProductEntries:
    """Read the entries of `products`: a list, or the values of an object (a PHP list that has lost an entry)."""
    text = bytes(products)
    if is_nothing(text) or is_empty_object(text):
        return ProductEntries([])
    if text[:1] not in b"[{":
        return ProductEntries([], is_whole=False)
    try:
        return ProductEntries(_decode_entries(text))
    except msgspec.ValidationError:
        pass
    values = _decode_list(text) if text[:1] == b"[" else _decode_object(text).values()
    present = [raw for raw in values if not is_nothing(raw)]
    entries = [entry for entry in map(_read_entry, present) if entry is not None]
    return ProductEntries(entries, is_whole=len(entries) == len(present))


def _read_entry(raw: Raw) -> ProductEntry | None:
    if bytes(raw)[:1] == b"{":
        return _decode_entry(raw)
    return ProductEntry() if is_empty_object(raw) else None


def find_long_id(properties: CommerceProperties) -> str | None:
    """The path of the first id that is too long; None if there is none."""
    if properties.product_id and is_too_long(properties.product_id):
        return "product_id"
    if _is_long(properties.order_id):
        return "order_id"
    if len(properties.products) <= ID_BYTES_MAX:
        return None
    entries = read_entries(properties.products).entries
    return next((f"products.{n}.product_id" for n, entry in enumerate(entries) if _is_long(entry.product_id)), None)


def _is_long(raw: Raw) -> bool:
    # A text never has more bytes than its JSON.
    return len(raw) > ID_BYTES_MAX and is_too_long(read_dimension_text(raw) or "")
