"""The oracle's check of full buckets: what must hold if a bucket has fewer seats than there were values (rule 6).

Which values have a seat depends on their order of arrival, so the oracle does not predict it. These rules hold in any
case: a value with a seat has all its numbers; every seat is taken; values of bounded kinds always have a seat; and the
rest is the sum of the values without one. Sessions may leave a value again, which keeps its seat.
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

_DECLARED = ("property.", "user.")
_VISITS = frozenset(("acquisition", "technology", "regions", "origins"))
_FALLING = frozenset(("sessions", "session_lengths", "origins", "session_pages"))

OracleValues = tuple[str, ...]
OracleNumbers = Mapping[str, int]


class OracleSeats(NamedTuple):
    """How many seats a bucket has, for combinations and for products."""

    combinations: int = 10_000
    products: int = 100_000
    products_of_minute: int = 20_000
    sales: int = 50_000
    property_values: int = 1_000

    def count_for(self, rollup: str, kind: str) -> int:
        if rollup.startswith(_DECLARED) and not rollup.endswith("+event"):
            return self.property_values
        if rollup != "products":
            return self.sales if rollup == "sales" else self.combinations
        return self.products_of_minute if kind == "minute" else self.products


def find_rest(rollup: str, values: OracleValues) -> OracleValues:
    """Return the value under which a value without a seat is counted; the value itself if it always has one."""
    if rollup == "products":
        return ("",) if values == ("",) else (REST,)
    if rollup == "sales":
        return (values[0] and REST, REST, values[2])
    if rollup in ("pages", "session_pages"):
        return (values[0] and REST, values[1])
    if rollup.startswith(_DECLARED):
        return (values[0] and REST, *(name if name in _NAMES else REST for name in values[1:]))
    if rollup in _VISITS:
        return tuple(value and REST for value in values)
    if rollup == "sessions":
        return (values[0], REST, REST)
    if rollup == "session_lengths":
        return (*values[:2], REST, REST)
    name, source, *other_values = values
    return (name if name in _NAMES else REST, source, *[REST] * len(other_values))


def _is_named(rollup: str, values: OracleValues) -> bool:
    if rollup in ("sales", "pages", "session_pages", *_VISITS) or rollup.startswith(_DECLARED):
        return values[0] == ""
    return rollup in _FALLING or values[0] in _NAMES


def find_faults(
    rollup: str,
    live: Mapping[OracleValues, OracleNumbers],
    true: Mapping[OracleValues, OracleNumbers],
    seats: int,
) -> list[str]:
    """Return one line for each fault in a bucket's values. Numbers are by measure, and none of them is 0."""
    wrong = [
        f"{values}: {dict(numbers)} instead of {dict(true.get(values, {}))}"
        for values, numbers in live.items()
        if REST not in values and numbers != true.get(values, {})
    ]
    for is_named in (True, False):
        group = {values for values in true if _is_named(rollup, values) == is_named}
        always_seated = {values for values in group if find_rest(rollup, values) == values}
        wrong += [f"{values} always has a seat, and has none" for values in sorted(always_seated - live.keys())]
        seats_had, seats_due = (
            len((group - always_seated) & live.keys()),
            min(seats, len(group - always_seated)),
        )
        if seats_had > seats_due or (seats_had < seats_due and rollup not in _FALLING):
            wrong.append(f"{seats_had} values have a seat, not {seats_due}")
    sums_of_others: dict[OracleValues, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for values, numbers in true.items():
        if values not in live:
            for measure, number in numbers.items():
                sums_of_others[find_rest(rollup, values)][measure] += number
    for values in {values for values in live if REST in values} | sums_of_others.keys():
        true_sums = {measure: n for measure, n in sums_of_others[values].items() if n}
        if dict(live.get(values, {})) != true_sums:
            wrong.append(f"{values} for all others: {dict(live.get(values, {}))} instead of {true_sums}")
    return wrong
