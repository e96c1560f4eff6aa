"""What a commerce event adds: units, revenue, and what belongs to each product.   Stage 3 of 6.   Pure.

Names and properties are Segment's E-commerce V2 spec; rule 5 of docs/reference/rules.md is the text.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec
from msgspec import Raw, Struct

from rtaplatform.core.amounts import AmountError, check_range, scaled, scaled_product
from rtaplatform.core.errors import Quarantined
from rtaplatform.core.events import Reason
from rtaplatform.core.rollups import SEPARATOR
from rtaplatform.process.careful import dimension_text, read_properties
from rtaplatform.process.decode import Properties, dimension

VIEWED, ADDED, CHECKOUT, ORDERED = "Product Viewed", "Product Added", "Checkout Started", "Order Completed"
CACHED_PROPERTIES_BYTES_MAX = 512
PERSONS_BY_PRODUCT = frozenset((VIEWED, ADDED, ORDERED))

ProductCells = dict[str, dict[str, int]]  # product_id → measure → increment


class Commerce(Struct, eq=False, gc=False):
    """Amounts in 10⁻⁴ units. `of_persons`: the products whose distinct persons the event adds to.

    `fields` is `products` in the names of the rollup: that of a measure's total, the product's own, and the increment.
    One object serves all events that say the same: they are counted by `is`, not by `==`.
    """

    units: int = 0
    revenue: int = 0
    other_currencies: int = 0
    products: ProductCells = {}
    of_persons: tuple[str, ...] = ()
    fields: tuple[tuple[str, str, int], ...] = ()


class Line(Struct, gc=False):
    product: str
    quantity: int
    amount: int


class _Entry(Struct):
    product_id: Raw = Raw()
    price: Raw = Raw()
    quantity: Raw = Raw()


_decode_entries = msgspec.json.Decoder(list[_Entry]).decode
_decode_properties = msgspec.json.Decoder(Properties).decode
NOTHING = Commerce()


def read_commerce(name: str, properties: bytes, currency: str) -> Commerce:
    """What an event of that name and properties (an object's JSON text, or none) adds, in a project of that currency.

    Raises `Quarantined` with `invalid_amount`.
    """
    if not properties:
        return NOTHING
    if len(properties) > CACHED_PROPERTIES_BYTES_MAX:
        return _read(name, properties, currency)
    return _read_known(name, properties, currency)


def _read(name: str, text: bytes, currency: str) -> Commerce:
    try:
        properties = _decode_properties(text)
    except msgspec.ValidationError:
        properties = read_properties(text)
    found = _added(name, properties, currency)
    if not found.products:
        return found
    found.fields = tuple(
        (measure, f"{measure}{SEPARATOR}{product}", n)
        for product, measures in found.products.items()
        for measure, n in measures.items()
    )
    if name in PERSONS_BY_PRODUCT:
        found.of_persons = tuple(found.products)
    return found


# The same product at the same price comes again and again. What it returns is only read.
_read_known = lru_cache(maxsize=32_768)(_read)


def _added(name: str, properties: Properties, currency: str) -> Commerce:
    try:
        field = "price"
        price = _amount(properties.price)
        field = "quantity"
        quantity = _amount(properties.quantity)
        field = "revenue"
        revenue = _amount(properties.revenue)
        field = "total"
        total = _amount(properties.total)
        field = "products"
        lines = _lines(properties, price, quantity)
        subtotal = check_range(sum(line.amount for line in lines))
    except AmountError as error:
        raise Quarantined(Reason.INVALID_AMOUNT, f"`{field}` {error}.") from None
    if name == ORDERED:
        stated, stated_in = revenue or total, properties.currency
        return _order(lines, subtotal, stated=stated, stated_in=stated_in, currency=currency)
    products = _touched(name, properties, lines)
    return Commerce(products=products) if products else NOTHING


def _touched(name: str, properties: Properties, lines: list[Line]) -> ProductCells:
    if name == CHECKOUT:
        return {line.product: {"checkouts": 1} for line in lines if line.product}
    measure = {VIEWED: "views", ADDED: "adds"}.get(name)
    product = dimension(properties.product_id)
    return {product: {measure: 1}} if measure and product else {}


def _order(lines: list[Line], subtotal: int, *, stated: str | None, stated_in: str | None, currency: str) -> Commerce:
    is_ours = not stated_in or stated_in.upper() == currency
    products: ProductCells = {}
    for line in lines:
        if not line.product:
            continue
        cells = products.setdefault(line.product, {"orders": 1, "units": 0, "revenue": 0})
        cells["units"] += line.quantity
        cells["revenue"] += line.amount if is_ours else 0
    revenue = subtotal if stated is None else scaled(stated)
    return Commerce(
        units=sum(line.quantity for line in lines),
        revenue=revenue if is_ours else 0,
        other_currencies=0 if is_ours else 1,
        products=products,
    )


def _lines(properties: Properties, price: str | None, quantity: str | None) -> list[Line]:
    text = bytes(properties.products)
    if text and text != b"null":
        entries = _entries(text)
        if entries:
            return [_line(_product(each.product_id), _amount(each.price), _amount(each.quantity)) for each in entries]
    product = properties.product_id
    if product is None and price is None and quantity is None:
        return []
    return [_line(dimension(product), price, quantity)]


def _entries(text: bytes) -> list[_Entry]:
    if not text.startswith(b"["):
        raise AmountError("is not a list")
    try:
        return _decode_entries(text)
    except msgspec.ValidationError:
        raise AmountError("has an entry that is not an object") from None


def _line(product: str, price: str | None, quantity: str | None) -> Line:
    price, quantity = price or "0", quantity or "1"
    return Line(product, scaled(quantity), scaled_product(price, quantity))


def _product(raw: Raw) -> str:
    """A line's product id as a dimension's value."""
    return dimension(dimension_text(raw))


def _amount(raw: Raw) -> str | None:
    """The decimal text of an amount, or None where there is none. Raises `AmountError`."""
    text = bytes(raw)
    if not text or text == b"null":
        return None
    if text[:1] == b'"':
        decoded: str = msgspec.json.decode(text)
        scaled(decoded)
        return decoded
    if text[:1] not in b"-0123456789":
        raise AmountError("is not a number")
    number = text.decode()
    scaled(number)
    return number
