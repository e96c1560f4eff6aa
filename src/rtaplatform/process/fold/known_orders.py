"""Which orders were counted before.   Stage 3 of 6: stream → [process] → store.

An order counts once in 7 days of stream time, whichever partition, person or messageId it comes with. The store is not
asked beforehand: an order that a worker does not know is taken for new. `apply` compares each with what the shard has
and refuses the batch where one differs. It tells what it has, and the delta is made again from what was folded. So
a copy that is out of date never decides, and a repeat costs a second delta but no second reading.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping

from msgspec import Struct

from rtaplatform.core.rollups import BOT_PREFIX
from rtaplatform.core.time.buckets import DAY_MS
from rtaplatform.process.decode.commerce import NOTHING, EventCommerce
from rtaplatform.process.decode.fast import DecodedEvent, EventDimensions
from rtaplatform.store.port import OrderWrite

ORDER_LIFE_MS = 7 * DAY_MS
ABSENT = -1
OrderKey = tuple[str, bytes]  # project (with a prefix for bots), order id
MinuteKey = tuple[str, int, int]  # project, minute, level of retention
CountsKey = tuple[EventDimensions, EventCommerce]


class KnownOrders:
    """When the orders of one shard were counted, as far as a worker knows; newest last, and at most so many.

    Nothing is dropped in doubt: what is wrong here is told by the next conflict.
    """

    def __init__(self, orders_max: int = 10_000) -> None:
        self._orders_max = orders_max
        self._counted_ms: OrderedDict[OrderKey, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._counted_ms)

    def __getitem__(self, key: OrderKey) -> int:
        """The stream time at which it was counted last, or ABSENT."""
        return self._counted_ms.get(key, ABSENT)

    def learn(self, times_ms: Mapping[OrderKey, int]) -> None:
        """What the store has of these; ABSENT: nothing."""
        for key, counted_ms in times_ms.items():
            self._put(key, counted_ms)

    def accept(self, writes: Iterable[OrderWrite]) -> None:
        """The batch is sent: they are as they will be if it is applied."""
        for write in writes:
            for order_id, expected_ms, written_ms in zip(write.ids, write.expected_ms, write.written_ms, strict=True):
                self._put((write.project, order_id), expected_ms if written_ms == ABSENT else written_ms)

    def take_back(self, writes: Iterable[OrderWrite]) -> None:
        """The batch was refused: they are as they were before it."""
        for write in writes:
            for order_id, expected_ms in zip(write.ids, write.expected_ms, strict=True):
                self._put((write.project, order_id), expected_ms)

    def trim(self) -> None:
        """Let the oldest go, down to the limit. Between batches only."""
        while len(self._counted_ms) > self._orders_max:
            self._counted_ms.popitem(last=False)

    def _put(self, key: OrderKey, counted_ms: int) -> None:
        if counted_ms == ABSENT:
            self._counted_ms.pop(key, None)
        else:
            self._counted_ms[key] = counted_ms
            self._counted_ms.move_to_end(key)


class OrderFilter:
    """The orders of one batch against what is known: asks and remembers in the order of the records."""

    def __init__(self, known_orders: KnownOrders) -> None:
        self._known_orders = known_orders
        self._times_read: dict[OrderKey, int] = {}
        self._times_written: dict[OrderKey, int] = {}

    def is_repeat(self, key: OrderKey, stream_time_ms: int) -> bool:
        """Whether the order was counted within 7 days; if not, it is from now on."""
        expected_ms = self._times_read.get(key)
        if expected_ms is None:
            expected_ms = self._times_read[key] = self._known_orders[key]
        counted_ms = self._times_written.get(key, expected_ms)
        if counted_ms != ABSENT and abs(stream_time_ms - counted_ms) < ORDER_LIFE_MS:
            return True
        self._times_written[key] = stream_time_ms
        return False

    def make_writes(self) -> list[OrderWrite]:
        """Every order that was asked for, to be compared, with what was written of it: one for each project."""
        sets: dict[str, OrderWrite] = {}
        for key, expected_ms in self._times_read.items():
            project, order_id = key
            write = sets.get(project)
            if write is None:
                write = sets[project] = OrderWrite(project, [], [], [])
            write.ids.append(order_id)
            write.expected_ms.append(expected_ms)
            write.written_ms.append(self._times_written.get(key, ABSENT))
        return list(sets.values())


class CountedOrders(Struct):
    """The orders of one project, minute and level. A repeat is an event that adds nothing more. Bots are no buyers."""

    counts: dict[CountsKey, int]
    buyers: dict[EventDimensions, set[bytes]]
    buyers_by_product: dict[str, set[bytes]]


NO_ORDERS = CountedOrders({}, {}, {})


class HeldOrders:
    """The orders of a batch, held back until its delta is made.

    Another worker may count the same order meanwhile. So whether an order is a repeat is decided last, and decided
    again if the store refuses the delta. `repeats`: the project and stream time of each repeat, of the last decision.
    `counted`: the others that are no bot's. `repeated`: the identities of the events of repeats.
    """

    def __init__(self) -> None:
        self._held_orders: list[tuple[MinuteKey, DecodedEvent, EventCommerce, int]] = []
        self._orders_by_minute: dict[MinuteKey, CountedOrders] | None = None
        self.repeats: list[tuple[str, int]] = []
        self.counted: list[tuple[DecodedEvent, EventCommerce]] = []
        self.repeated: set[int] = set()

    def take_back(self) -> None:
        """Nothing is decided any more."""
        self._orders_by_minute = None

    def add(self, key: MinuteKey, event: DecodedEvent, commerce: EventCommerce, stream_time_ms: int) -> None:
        self._held_orders.append((key, event, commerce, stream_time_ms))

    def decide(self, orders: OrderFilter) -> Mapping[MinuteKey, CountedOrders]:
        """Count the orders once, in the order of the records. A bot's order takes none from a person."""
        if self._orders_by_minute is not None:
            return self._orders_by_minute
        self.repeats, self.counted, self.repeated = [], [], set()
        orders_by_minute = self._orders_by_minute = dict[MinuteKey, CountedOrders]()
        for key, event, commerce, stream_time_ms in self._held_orders:
            minute = orders_by_minute.get(key)
            if minute is None:
                minute = orders_by_minute[key] = CountedOrders({}, {}, {})
            project, dimensions = event.project, event.dimensions
            owner = BOT_PREFIX + project if dimensions.is_bot else project
            if commerce.order_id and orders.is_repeat((owner, commerce.order_id), stream_time_ms):
                self.repeats.append((project, stream_time_ms))
                self.repeated.add(id(event))
                commerce = NOTHING
            elif not dimensions.is_bot:
                _add_buyer(event, commerce, minute)
                self.counted.append((event, commerce))
            counts_key = (dimensions, commerce)
            minute.counts[counts_key] = minute.counts.get(counts_key, 0) + 1
        return orders_by_minute


def _add_buyer(event: DecodedEvent, commerce: EventCommerce, minute: CountedOrders) -> None:
    minute.buyers.setdefault(event.dimensions, set()).add(event.person)
    for product in commerce.person_products:
        minute.buyers_by_product.setdefault(product, set()).add(event.person)
