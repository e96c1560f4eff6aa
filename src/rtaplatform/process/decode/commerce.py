"""What a commerce event adds: units, revenue, and what belongs to each product.   Stage 3 of 6.   Pure.

Names and properties are Segment's E-commerce V2 spec; rule 5 of docs/reference/rules.md is the text.
"""

from __future__ import annotations

from functools import lru_cache

from msgspec import Raw, Struct

from rtaplatform.core.caps import NO_PRODUCT
from rtaplatform.core.commerce import CommerceProperties, find_long_id, read_entries, read_properties
from rtaplatform.core.errors import Quarantined
from rtaplatform.core.events import AMOUNT_MAX, Reason
from rtaplatform.core.rollups import SEPARATOR, SHARED
from rtaplatform.core.values.amounts import AmountError, amount_text, is_in_range, scaled, scaled_product
from rtaplatform.core.values.dimensions import dimension
from rtaplatform.core.values.ids import ID_BYTES_MAX
from rtaplatform.core.values.json_text import dimension_text

VIEWED, ADDED, CHECKOUT, ORDERED = "Product Viewed", "Product Added", "Checkout Started", "Order Completed"
CACHED_PROPERTIES_BYTES_MAX = 512
PERSONS_BY_PRODUCT = frozenset((VIEWED, ADDED, ORDERED))

ProductCells = dict[str, dict[str, int]]  # product_id → measure → increment


class EventCommerce(Struct, eq=False, gc=False):
    """Amounts in 10⁻⁴ units. `of_persons`: the products whose distinct persons the event adds to.

    `has_unreadable`: an amount was there and could not be read.
    `fields` is `products` in the names of the rollup: that of a measure's total, the product's own, and the increment.
    What names no product counts for NO_PRODUCT. `shared` is the total that an event with several products adds to.
    One object serves all events that say the same: they are counted by `is`, not by `==`.
    """

    units: int = 0
    revenue: int = 0
    other_currencies: int = 0
    has_unreadable: bool = False
    products: ProductCells = {}
    of_persons: tuple[str, ...] = ()
    fields: tuple[tuple[str, str, int], ...] = ()
    shared: str = ""


class OrderLine(Struct, gc=False):
    product: str
    quantity: int
    amount: int


NO_LINE = OrderLine(NO_PRODUCT, 0, 0)


class AmountReader:
    """Reads the amounts of one event, and knows whether it could read all of them. What it could not is not there."""

    __slots__ = ("is_complete",)

    def __init__(self) -> None:
        self.is_complete = True

    def read(self, raw: Raw) -> str | None:
        if not len(raw):  # most events lack most amounts
            return None
        try:
            return amount_text(raw)
        except AmountError:
            self.is_complete = False
            return None

    def multiply(self, price: str, quantity: str) -> int:
        try:
            return scaled_product(price, quantity)
        except AmountError:
            self.is_complete = False
            return 0

    def line(self, product: str | None, price: str | None, quantity: str | None) -> OrderLine:
        price, quantity = price or "0", quantity or "1"
        return OrderLine(dimension(product), scaled(quantity), self.multiply(price, quantity))


NOTHING, UNREADABLE = EventCommerce(), EventCommerce(has_unreadable=True)


def read_commerce(name: str, properties: bytes, currency: str) -> EventCommerce:
    """What an event of that name and properties (an object's JSON text, or none) adds, in a project of that currency.

    Raises `Quarantined` with `id_too_long`.
    """
    if not properties:
        properties = b"{}"
    if len(properties) > CACHED_PROPERTIES_BYTES_MAX:
        return _read(name, properties, currency)
    return _read_known(name, properties, currency)


def _read(name: str, text: bytes, currency: str) -> EventCommerce:
    properties = read_properties(text)
    long_id = find_long_id(properties) if len(text) > ID_BYTES_MAX else None
    if long_id is not None:
        raise Quarantined(Reason.ID_TOO_LONG, f"`properties.{long_id}` has more than {ID_BYTES_MAX} bytes.")
    found = _added(name, properties, currency)
    if not found.products:
        return found
    found.fields = tuple(
        (measure, f"{measure}{SEPARATOR}{product}", n)
        for product, measures in found.products.items()
        for measure, n in measures.items()
        if n
    )
    if len(found.products) > 1:
        found.shared = SHARED["orders" if name == ORDERED else "checkouts"]
    if name in PERSONS_BY_PRODUCT:
        found.of_persons = tuple(found.products)
    return found


# The same product at the same price comes again and again. What it returns is only read.
_read_known = lru_cache(maxsize=32_768)(_read)


def _added(name: str, properties: CommerceProperties, currency: str) -> EventCommerce:
    reader = AmountReader()
    lines = _lines(properties, reader)
    stated = _stated_revenue(properties, reader)
    if name == ORDERED:
        found = _order(lines, stated, is_ours=properties.currency in ("", currency))
    else:
        products = _touched(name, properties, lines)
        found = EventCommerce(products=products) if products else NOTHING
    if reader.is_complete:
        return found
    if found is NOTHING:
        return UNREADABLE
    found.has_unreadable = True
    return found


def _touched(name: str, properties: CommerceProperties, lines: list[OrderLine]) -> ProductCells:
    if name == CHECKOUT:
        return {line.product: {"checkouts": 1} for line in lines or [NO_LINE]}
    measure = {VIEWED: "views", ADDED: "adds"}.get(name)
    return {dimension(properties.product_id): {measure: 1}} if measure else {}


def _order(lines: list[OrderLine], stated: int | None, *, is_ours: bool) -> EventCommerce:
    products: ProductCells = {}
    for line in lines or [NO_LINE]:
        cells = products.setdefault(line.product, {"orders": 1, "units": 0, "revenue": 0})
        cells["units"] += line.quantity
        cells["revenue"] += line.amount if is_ours else 0
    revenue = sum(line.amount for line in lines) if stated is None else stated
    return EventCommerce(
        units=sum(line.quantity for line in lines),
        revenue=revenue if is_ours else 0,
        other_currencies=0 if is_ours else 1,
        products=products,
    )


def _stated_revenue(properties: CommerceProperties, reader: AmountReader) -> int | None:
    revenue, total = reader.read(properties.revenue), reader.read(properties.total)
    stated = revenue or total
    return None if stated is None else scaled(stated)


def _lines(properties: CommerceProperties, reader: AmountReader) -> list[OrderLine]:
    price, quantity = reader.read(properties.price), reader.read(properties.quantity)
    entries = read_entries(properties.products)
    reader.is_complete = reader.is_complete and entries.is_whole
    if entries.found:
        return _within_range(
            [
                reader.line(dimension_text(entry.product_id), reader.read(entry.price), reader.read(entry.quantity))
                for entry in entries.found
            ],
            reader,
        )
    if properties.product_id is None and price is None and quantity is None:
        return []
    return [reader.line(properties.product_id, price, quantity)]


def _within_range(lines: list[OrderLine], reader: AmountReader) -> list[OrderLine]:
    """The lines, without the amounts or the quantities of which a sum is beyond the range."""
    amounts, quantities = [line.amount for line in lines], [line.quantity for line in lines]
    if sum(map(abs, amounts)) <= AMOUNT_MAX and sum(map(abs, quantities)) <= AMOUNT_MAX:
        return lines
    names = [line.product for line in lines]
    if not _is_every_sum_in_range(names, amounts):
        amounts, reader.is_complete = [0] * len(lines), False
    if not _is_every_sum_in_range(names, quantities):
        quantities, reader.is_complete = [0] * len(lines), False
    return [OrderLine(*numbers) for numbers in zip(names, quantities, amounts, strict=True)]


def _is_every_sum_in_range(products: list[str], numbers: list[int]) -> bool:
    """The sum of the order, and that of each product."""
    sums: dict[str, int] = {}
    for product, number in zip(products, numbers, strict=True):
        sums[product] = sums.get(product, 0) + number
    return is_in_range(sum(numbers)) and all(map(is_in_range, sums.values()))
