"""The oracle's view of caps: what may be in a bucket that holds fewer values than there were (rule 6).

Which values have a seat depends on which came first, so the oracle does not say which. It says what must hold of any:
a value that has a seat has all its numbers; there are as many as there are seats; what is bounded is there whatever
else came; and what stands for the others is their sum.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

REST = "\x1e"  # stands for a value without a seat
_NAMES = frozenset(
    (
        "Product Viewed", "Product Added", "Product Removed", "Checkout Started", "Order Completed", "Order Refunded",
        "Order Cancelled", "$page", "$screen", "$identify", "$group", "$alias",
    )
)  # fmt: skip

Values = tuple[str, ...]
Numbers = Mapping[str, int]


class OracleSeats(NamedTuple):
    """How many values a bucket holds, of combinations and of products."""

    combinations: int = 10_000
    products: int = 100_000
    products_of_minute: int = 20_000

    def of(self, rollup: str, kind: str) -> int:
        if rollup != "products":
            return self.combinations
        return self.products_of_minute if kind == "minute" else self.products


def rest_of(rollup: str, values: Values) -> Values:
    """Return what counts for a value that has no seat; the value itself where it always has one."""
    if rollup == "products":
        return ("",) if values == ("",) else (REST,)
    name, source, *others = values
    return (name if name in _NAMES else REST, source, *[REST] * len(others))


def faults(rollup: str, found: Mapping[Values, Numbers], true: Mapping[Values, Numbers], seats: int) -> list[str]:
    """Return what is wrong with a bucket's values, a line each. Numbers by measure, none of them 0."""
    wrong = [
        f"{values}: {dict(numbers)} instead of {dict(true.get(values, {}))}"
        for values, numbers in found.items()
        if REST not in values and numbers != true.get(values, {})
    ]
    for is_named in (True, False):
        ours = {values for values in true if (values[0] in _NAMES) == is_named}
        free = {values for values in ours if rest_of(rollup, values) == values}
        wrong += [f"{values} always has a seat, and has none" for values in sorted(free - found.keys())]
        seated, due = len((ours - free) & found.keys()), min(seats, len(ours - free))
        if seated != due:
            wrong.append(f"{seated} values have a seat, not {due}")
    rest: dict[Values, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for values, numbers in true.items():
        if values not in found:
            for measure, number in numbers.items():
                rest[rest_of(rollup, values)][measure] += number
    for values in {values for values in found if REST in values} | rest.keys():
        told = {measure: n for measure, n in rest[values].items() if n}
        if dict(found.get(values, {})) != told:
            wrong.append(f"{values} for all others: {dict(found.get(values, {}))} instead of {told}")
    return wrong
