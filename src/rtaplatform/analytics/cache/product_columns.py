"""What a question asks of the products' columns: the greatest, of some category, by category.   Stage 5 of 6, pure."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from rtaplatform.analytics.cache.number_columns import NumberColumns, Numbers, add_by, greatest
from rtaplatform.analytics.plan.plan import QueryPlan, SumsPlan
from rtaplatform.analytics.read.product_attributes import ProductTable, attribute_of
from rtaplatform.analytics.read.rows import AnswerRow, Key
from rtaplatform.core.rollups import PRODUCT_ID, SEPARATOR

CODE_BYTES, KEY_BYTES = 4, 300
JOINED_AT_ONCE = 5_000  # names in one piece, so that a thread that joins lets others go on in between
Names = tuple[str, ...]


class CodedNames(Struct):
    """Of each column the place of its key among `keys`. `version` of the catalog, `reshaped` of the columns."""

    version: int | None
    reshaped: int
    keys: list[Key]
    places: dict[Key, int]
    codes: NDArray[np.int32]


class ProductColumns:
    """Rows from columns named `measure US product`. What the catalog says of a product is looked up once a version."""

    def __init__(self, columns: NumberColumns, starts: Sequence[bytes] = ()) -> None:
        """`starts`: what the columns' names begin with, before a product."""
        self._columns, self._starts = columns, starts
        self._coded: dict[Names, CodedNames] = {}

    @property
    def size(self) -> int:
        return sum(len(c.codes) * CODE_BYTES + len(c.keys) * KEY_BYTES for c in self._coded.values())

    def rows(self, plan: QueryPlan, shape: SumsPlan, products: ProductTable | None) -> list[AnswerRow]:
        breakdown, limit = plan.query.breakdown, plan.query.limit
        chosen, sums = self._chosen(shape, products), self._columns.sums
        values = sums if chosen is None else np.where(chosen, sums, 0)
        if not breakdown:
            return [_row((), _sum(values))]
        if breakdown == (PRODUCT_ID,) and not shape.with_bots:
            return [_row((product_of(name),), total) for name, total in self.top(values, limit)]
        if PRODUCT_ID in breakdown and not shape.with_bots:
            found = [(self._key(at, breakdown, products), int(values[at])) for at in greatest(values, limit)]
        else:
            by = self._code(breakdown, products)
            totals = add_by(by.codes, values, len(by.keys))
            found = [(by.keys[at], int(totals[at])) for at in greatest(totals, limit)]
        return [_row(*each) for each in sorted(found, key=lambda row: (-row[1], row[0]))[:limit]]

    def lacks(self, shape: SumsPlan, products: ProductTable | None, short: Iterable[bytes]) -> bool:
        """Whether one of these names, which lack something, is asked for."""
        at = [found for name in short if (found := self._columns.column(name)) is not None]
        chosen = self._chosen(shape, products) if at else None
        return bool(at) and (chosen is None or bool(chosen[at].any()))

    def top(self, values: Numbers, limit: int) -> list[tuple[bytes, int]]:
        """The names with the greatest values, by value descending, then by name."""
        names = self._columns.names
        found = [(int(values[at]), names[at]) for at in greatest(values, limit)]
        least = min(map(itemgetter(0), found), default=0)
        above = sorted((each for each in found if each[0] > least), key=lambda each: (-each[0], each[1]))
        ties = heapq.nsmallest(limit - len(above), (name for n, name in found if n == least))
        return [*((name, n) for n, name in above), *((name, least) for name in ties)]

    def _chosen(self, shape: SumsPlan, products: ProductTable | None) -> NDArray[Any] | None:
        """Whether the filters take a column; None: they take all."""
        wanted = shape.wanted[1:]
        if all(each is None for each in wanted):
            return None
        by = self._code(shape.joined, products)
        takes = [all(w is None or v in w for v, w in zip(key, wanted, strict=True)) for key in by.keys]
        return np.array(takes, dtype=bool)[by.codes]

    def _code(self, names: Names, products: ProductTable | None) -> CodedNames:
        coded, changed = self._known(names, products)
        if coded is None:
            coded = CodedNames(None, self._columns.reshaped, [], {}, np.zeros(0, dtype=np.int32))
            self._coded[names] = coded
        columns = [at for id in changed for at in self._columns_of(id) if at < len(coded.codes)]
        coded.codes[columns] = self._codes_of(coded, columns, names, products)
        coded.version = None if products is None else products.version
        first, many = len(coded.codes), len(self._columns.names)
        if first < many:
            portions = [range(at, min(at + JOINED_AT_ONCE, many)) for at in range(first, many, JOINED_AT_ONCE)]
            more = [self._codes_of(coded, portion, names, products) for portion in portions]
            coded.codes = np.concatenate([coded.codes, *more])
        return coded

    def _known(self, names: Names, products: ProductTable | None) -> tuple[CodedNames | None, Collection[str]]:
        """What still holds of what was joined, and the products that it does not hold of."""
        coded = self._coded.get(names)
        if coded is None or coded.reshaped != self._columns.reshaped:
            return None, ()
        if products is None or coded.version == products.version:
            return (coded, ()) if (products is None) == (coded.version is None) else (None, ())
        changed = None if coded.version is None else products.changed_since(coded.version)
        return (None, ()) if changed is None else (coded, changed)

    def to_join(self, shape: SumsPlan, breakdown: Names, products: ProductTable | None) -> int:
        """How many names must be joined before the question is answered."""
        asked = {names for names in (shape.joined, breakdown) if names and (products is not None or names == breakdown)}
        many = 0
        for names in asked:
            coded, changed = self._known(names, products)
            many += len(self._columns.names) - (0 if coded is None else len(coded.codes)) + len(changed)
        return many

    def _columns_of(self, product_id: str) -> list[int]:
        found = [self._columns.column(start + product_id.encode()) for start in self._starts]
        return [at for at in found if at is not None]

    def _codes_of(
        self, coded: CodedNames, columns: Sequence[int], names: Names, products: ProductTable | None
    ) -> NDArray[np.int32]:
        keys = keys_of([product_of(self._columns.names[at]) for at in columns], names, products)
        for key in dict.fromkeys(keys):
            if key not in coded.places:
                coded.places[key] = len(coded.keys)
                coded.keys.append(key)
        return np.array([coded.places[key] for key in keys], dtype=np.int32)

    def _key(self, at: int, names: Names, products: ProductTable | None) -> Key:
        return keys_of([product_of(self._columns.names[at])], names, products)[0]


def keys_of(found: Sequence[str], names: Names, products: ProductTable | None) -> list[Key]:
    """Of each product its id and attributes, whichever are named. There may be 100,000."""
    held = [found if name == PRODUCT_ID or products is None else attribute_of(products, found, name) for name in names]
    return list(zip(*held, strict=True))


def product_of(name: bytes) -> str:
    return name.partition(SEPARATOR.encode())[2].decode()


def _sum(values: Numbers) -> int:
    if values.dtype != object and float(np.abs(values.astype(np.float64)).sum()) < 2.0**62:
        return int(values.sum())
    return sum(values.tolist())


def _row(key: Key, total: int) -> AnswerRow:
    return AnswerRow(key, total, None, [total])
