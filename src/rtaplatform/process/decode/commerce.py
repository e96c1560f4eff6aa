"""What a commerce event adds: units, revenue, and the counters of each product.   Stage 3 of 6.   Pure.

Names and properties follow Segment's E-commerce V2 spec, and those of other specs are read as these. Rule 5 of
docs/reference/rules.md defines the amounts.
"""

from __future__ import annotations

from functools import lru_cache

from msgspec import Raw, Struct

from rtaplatform.core.caps import NO_PRODUCT
from rtaplatform.core.commerce import CommerceProperties, find_long_id, read_entries, read_properties
from rtaplatform.core.errors import Quarantined
from rtaplatform.core.events import AMOUNT_MAX, Reason
from rtaplatform.core.rollups import REFUND_EVENTS, SEPARATOR, SHARED
from rtaplatform.core.values.amounts import AmountError, is_in_range, read_amount_text, scale_amount, scale_product
from rtaplatform.core.values.commerce_names import FOREIGN_EVENTS, translate_properties
from rtaplatform.core.values.dimensions import as_dimension
from rtaplatform.core.values.ids import ID_BYTES_MAX
from rtaplatform.core.values.json_text import read_dimension_text
from rtaplatform.process.decode.order_id import NO_ORDER, read_order_id

VIEWED, ADDED, CHECKOUT, ORDERED = "Product Viewed", "Product Added", "Checkout Started", "Order Completed"
REFUNDS = frozenset(("Order Refunded", "Order Cancelled"))
CACHED_PROPERTIES_BYTES_MAX = 512
PERSONS_BY_PRODUCT = frozenset((VIEWED, ADDED, ORDERED))
# What an event adds to each of its products.
PRODUCT_MEASURES = {VIEWED: "views", ADDED: "adds", CHECKOUT: "checkouts", ORDERED: "orders"}

ProductCells = dict[str, dict[str, int]]  # product_id → measure → increment


class EventCommerce(Struct, eq=False, gc=False):
    """What an event adds. Amounts are in 10⁻⁴ units; lines that name no product count for NO_PRODUCT.

    `has_unreadable`: it has an amount that could not be read. `person_products`: the products whose distinct persons it
    adds to. `fields`: for each entry of `products`, the total's field in the rollup, the product's field, and the
    increment. `shared_field`: the total that a refund, or an event with several products, adds to. `order_id`: the id
    by which an order is recognised, if it has one.
    Equal events share one object: they are compared by `is`, not by `==`.
    """

    orders: int = 0
    units: int = 0
    revenue: int = 0
    refunds: int = 0
    other_currencies: int = 0
    has_unreadable: bool = False
    products: ProductCells = {}
    person_products: tuple[str, ...] = ()
    fields: tuple[tuple[str, str, int], ...] = ()
    shared_field: str = ""
    order_id: bytes = NO_ORDER


class OrderLine(Struct, gc=False):
    product: str
    quantity: int
    amount: int


NO_LINE = OrderLine(NO_PRODUCT, 0, 0)


class AmountReader:
    """Reads the amounts of one event. `is_complete`: all could be read; an unreadable amount counts as absent."""

    __slots__ = ("is_complete",)

    def __init__(self) -> None:
        self.is_complete = True

    def read(self, raw: Raw) -> str | None:
        if not len(raw):  # most events lack most amounts
            return None
        try:
            return read_amount_text(raw)
        except AmountError:
            self.is_complete = False
            return None

    def multiply(self, price: str, quantity: str) -> int:
        try:
            return scale_product(price, quantity)
        except AmountError:
            self.is_complete = False
            return 0

    def make_line(self, product: str | None, price: str | None, quantity: str | None) -> OrderLine:
        price, quantity = price or "0", quantity or "1"
        return OrderLine(as_dimension(product), scale_amount(quantity), self.multiply(price, quantity))


NOTHING, UNREADABLE = EventCommerce(), EventCommerce(has_unreadable=True)


def read_commerce(name: str, properties: bytes, currency: str) -> EventCommerce:
    """Read what an event adds. `properties` is an object's JSON text, or empty; `currency` is the project's.

    `name` is a dimension's value, as it was sent.
    Raises `Quarantined` with `id_too_long`.
    """
    if not properties:
        properties = b"{}"
    if len(properties) > CACHED_PROPERTIES_BYTES_MAX:
        return _read(name, properties, currency)
    return _read_cached(name, properties, currency)


def _read(name: str, text: bytes, currency: str) -> EventCommerce:
    foreign = FOREIGN_EVENTS.get(name)
    if foreign is not None:
        name, text = foreign.event, translate_properties(foreign, text)
    properties = read_properties(text)
    long_id = find_long_id(properties) if len(text) > ID_BYTES_MAX else None
    if long_id is not None:
        raise Quarantined(Reason.ID_TOO_LONG, f"`properties.{long_id}` has more than {ID_BYTES_MAX} bytes.")
    commerce = _read_increments(name, properties, currency, views_entries=bool(foreign and foreign.views_entries))
    if not commerce.products:
        return commerce
    commerce.fields = tuple(
        (measure, f"{measure}{SEPARATOR}{product}", n)
        for product, measures in commerce.products.items()
        for measure, n in measures.items()
        if n
    )
    if len(commerce.products) > 1 and name in PRODUCT_MEASURES:
        commerce.shared_field = SHARED[PRODUCT_MEASURES[name]]
    if name in REFUNDS:
        commerce.shared_field = REFUND_EVENTS
    if name == ORDERED:
        commerce.order_id = read_order_id(properties.order_id)
    if name in PERSONS_BY_PRODUCT:
        commerce.person_products = tuple(commerce.products)
    return commerce


# The same product at the same price comes again and again. Callers never change the result.
_read_cached = lru_cache(maxsize=32_768)(_read)


def _read_increments(name: str, properties: CommerceProperties, currency: str, *, views_entries: bool) -> EventCommerce:
    reader = AmountReader()
    lines = _read_lines(properties, reader)
    stated_revenue = _read_stated_revenue(properties, reader)
    is_in_currency = properties.currency in ("", currency)
    if name == ORDERED:
        commerce = _count_order(lines, stated_revenue, is_in_currency=is_in_currency)
    elif name in REFUNDS:
        commerce = _count_refund(lines, stated_revenue, is_in_currency=is_in_currency)
    else:
        products = _count_products(name, properties.product_id, lines, views_entries=views_entries)
        commerce = EventCommerce(products=products) if products else NOTHING
    if reader.is_complete:
        return commerce
    if commerce is NOTHING:
        return UNREADABLE
    commerce.has_unreadable = True
    return commerce


def _count_products(name: str, root: str | None, lines: list[OrderLine], *, views_entries: bool) -> ProductCells:
    measure = PRODUCT_MEASURES.get(name)
    if measure is None:
        return {}
    if name != CHECKOUT and not (views_entries and root is None):
        return {as_dimension(root): {measure: 1}}
    return {line.product: {measure: 1} for line in lines or [NO_LINE]}


def _count_order(lines: list[OrderLine], stated_revenue: int | None, *, is_in_currency: bool) -> EventCommerce:
    products: ProductCells = {}
    for line in lines or [NO_LINE]:
        cells = products.setdefault(line.product, {"orders": 1, "units": 0, "revenue": 0})
        cells["units"] += line.quantity
        cells["revenue"] += line.amount if is_in_currency else 0
    revenue = sum(line.amount for line in lines) if stated_revenue is None else stated_revenue
    return EventCommerce(
        orders=1,
        units=sum(line.quantity for line in lines),
        revenue=revenue if is_in_currency else 0,
        other_currencies=0 if is_in_currency else 1,
        products=products,
    )


def _count_refund(lines: list[OrderLine], stated_amount: int | None, *, is_in_currency: bool) -> EventCommerce:
    """What is paid back: the stated amount, else that of the lines. Products have their lines only."""
    products: ProductCells = {}
    for line in lines:
        cells = products.setdefault(line.product, {"refunds": 0, "refunded_units": 0})
        cells["refunded_units"] += line.quantity
        cells["refunds"] += line.amount if is_in_currency else 0
    amount = sum(line.amount for line in lines) if stated_amount is None else stated_amount
    return EventCommerce(
        refunds=amount if is_in_currency else 0, other_currencies=0 if is_in_currency else 1, products=products
    )


def _read_stated_revenue(properties: CommerceProperties, reader: AmountReader) -> int | None:
    revenue, total = reader.read(properties.revenue), reader.read(properties.total)
    amount = revenue or total
    return None if amount is None else scale_amount(amount)


def _read_lines(properties: CommerceProperties, reader: AmountReader) -> list[OrderLine]:
    price, quantity = reader.read(properties.price), reader.read(properties.quantity)
    entries = read_entries(properties.products)
    reader.is_complete = reader.is_complete and entries.is_whole
    if entries.entries:
        return _limit_to_range(
            [
                reader.make_line(
                    read_dimension_text(entry.product_id), reader.read(entry.price), reader.read(entry.quantity)
                )
                for entry in entries.entries
            ],
            reader,
        )
    if properties.product_id is None and price is None and quantity is None:
        return []
    return [reader.make_line(properties.product_id, price, quantity)]


def _limit_to_range(lines: list[OrderLine], reader: AmountReader) -> list[OrderLine]:
    """The lines; without their amounts, or quantities, if one of the sums of these is beyond the range."""
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
    """Whether the sum of the order and the sums of each product are in range."""
    sums: dict[str, int] = {}
    for product, number in zip(products, numbers, strict=True):
        sums[product] = sums.get(product, 0) + number
    return is_in_range(sum(numbers)) and all(map(is_in_range, sums.values()))
