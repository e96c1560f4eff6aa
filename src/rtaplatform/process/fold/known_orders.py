"""Which orders were counted before.   Stage 3 of 6: stream → [process] → store.

An order counts once in 7 days of stream time, whichever partition, person or messageId it comes with. The store is not
asked beforehand: an order that a worker does not know is taken for new. `apply` compares each with what the shard has
and refuses the batch where one differs. It tells what it has, and the same records are folded again with that. So a
copy that is out of date never decides, and only a real repeat costs a second reading.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping

from rtaplatform.core.time.buckets import DAY_MS
from rtaplatform.store.port import OrderWrite

ORDER_LIFE_MS = 7 * DAY_MS
ABSENT = -1
OrderKey = tuple[str, bytes]  # project (with a prefix for bots), order id


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

    def learn(self, told: Mapping[OrderKey, int]) -> None:
        """What the store has of these; ABSENT: nothing."""
        for key, counted_ms in told.items():
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
        self._known = known_orders
        self._expected: dict[OrderKey, int] = {}
        self._written: dict[OrderKey, int] = {}

    def is_repeat(self, key: OrderKey, stream_time_ms: int) -> bool:
        """Whether the order was counted within 7 days; if not, it is from now on."""
        expected_ms = self._expected.get(key)
        if expected_ms is None:
            expected_ms = self._expected[key] = self._known[key]
        counted_ms = self._written.get(key, expected_ms)
        if counted_ms != ABSENT and abs(stream_time_ms - counted_ms) < ORDER_LIFE_MS:
            return True
        self._written[key] = stream_time_ms
        return False

    def writes(self) -> list[OrderWrite]:
        """Every order that was asked for, to be compared, with what was written of it: one for each project."""
        sets: dict[str, OrderWrite] = {}
        for key, expected_ms in self._expected.items():
            project, order_id = key
            write = sets.get(project)
            if write is None:
                write = sets[project] = OrderWrite(project, [], [], [])
            write.ids.append(order_id)
            write.expected_ms.append(expected_ms)
            write.written_ms.append(self._written.get(key, ABSENT))
        return list(sets.values())
