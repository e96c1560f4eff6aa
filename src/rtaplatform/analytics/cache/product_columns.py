"""Answer rows from the sums of products: the greatest, filtered and grouped by attribute.   Stage 5 of 6, pure.

Keeps the category and brand of each column as a code. Codes are valid for one version of the catalog and one numbering
of the columns; when the catalog changes, only the changed products are joined again. There are as many codes as
columns, so the bound is that of the columns.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from rtaplatform.analytics.cache.number_columns import NumberColumns, Numbers, find_greatest, sum_by_code
from rtaplatform.analytics.plan.plan import QueryPlan
from rtaplatform.analytics.plan.shapes import SumsPlan
from rtaplatform.analytics.read.product_attributes import ProductTable, list_attribute_values
from rtaplatform.analytics.read.rows import AnswerRow, RowKey
from rtaplatform.core.rollups import PRODUCT_ID, SEPARATOR

CODE_BYTES, KEY_BYTES = 4, 300
JOINED_AT_ONCE = 5_000  # names per portion, so that other threads run between portions
Names = tuple[str, ...]


class CodedNames(Struct):
    """`codes`: per column the index of its key in `keys`. Valid for a catalog version and a `reshape_count`."""

    version: int | None
    reshape_count: int
    keys: list[RowKey]
    code_of: dict[RowKey, int]
    codes: NDArray[np.int32]


class ProductColumns:
    """Answer rows from columns whose names are a measure, the separator and a product id."""

    def __init__(self, columns: NumberColumns, prefixes: Sequence[bytes] = ()) -> None:
        """`prefixes`: how names of columns may begin, up to the product id."""
        self._columns, self._prefixes = columns, prefixes
        self._codes: dict[Names, CodedNames] = {}

    @property
    def size(self) -> int:
        return sum(len(c.codes) * CODE_BYTES + len(c.keys) * KEY_BYTES for c in self._codes.values())

    def build_rows(self, plan: QueryPlan, shape: SumsPlan, products: ProductTable | None) -> list[AnswerRow]:
        breakdown, limit = plan.query.breakdown, plan.query.limit
        mask, sums = self._filter_columns(shape, products), self._columns.sums
        values = sums if mask is None else np.where(mask, sums, 0)
        if not breakdown:
            return [_make_row((), _sum_values(values))]
        if breakdown == (PRODUCT_ID,) and not shape.with_bots:
            return [_make_row((read_product_id(name),), total) for name, total in self._rank_names(values, limit)]
        if PRODUCT_ID in breakdown and not shape.with_bots:
            totals = [(self._make_key(c, breakdown, products), int(values[c])) for c in find_greatest(values, limit)]
        else:
            code_table = self._update_codes(breakdown, products)
            sums = sum_by_code(code_table.codes, values, len(code_table.keys))
            totals = [(code_table.keys[code], int(sums[code])) for code in find_greatest(sums, limit)]
        return [_make_row(*total) for total in sorted(totals, key=lambda total: (-total[1], total[0]))[:limit]]

    def has_short_row(self, shape: SumsPlan, products: ProductTable | None, short_names: Iterable[bytes]) -> bool:
        """Whether the filters take any of the columns whose sums are known to be too low."""
        columns = [column for name in short_names if (column := self._columns.find_column(name)) is not None]
        mask = self._filter_columns(shape, products) if columns else None
        return bool(columns) and (mask is None or bool(mask[columns].any()))

    def _rank_names(self, values: Numbers, limit: int) -> list[tuple[bytes, int]]:
        """The names with the greatest values, by value descending, then by name."""
        names = self._columns.names
        totals = [(int(values[column]), names[column]) for column in find_greatest(values, limit)]
        least = min(map(itemgetter(0), totals), default=0)
        leaders = sorted((total for total in totals if total[0] > least), key=lambda total: (-total[0], total[1]))
        ties = heapq.nsmallest(limit - len(leaders), (name for value, name in totals if value == least))
        return [*((name, value) for value, name in leaders), *((name, least) for name in ties)]

    def _filter_columns(self, shape: SumsPlan, products: ProductTable | None) -> NDArray[Any] | None:
        """Whether the filters take each column; None if they take all."""
        filters = shape.filters[1:]
        if all(values is None for values in filters):
            return None
        code_table = self._update_codes(shape.attributes, products)
        mask = [
            all(values is None or value in values for value, values in zip(key, filters, strict=True))
            for key in code_table.keys
        ]
        return np.array(mask, dtype=bool)[code_table.codes]

    def _update_codes(self, names: Names, products: ProductTable | None) -> CodedNames:
        code_table, changed_ids = self._find_valid_codes(names, products)
        if code_table is None:
            code_table = CodedNames(None, self._columns.reshape_count, [], {}, np.zeros(0, dtype=np.int32))
            self._codes[names] = code_table
        columns = [column for id in changed_ids for column in self._list_columns(id) if column < len(code_table.codes)]
        code_table.codes[columns] = self._join_columns(code_table, columns, names, products)
        code_table.version = None if products is None else products.version
        first, last = len(code_table.codes), len(self._columns.names)
        if first < last:
            portions = [range(start, min(start + JOINED_AT_ONCE, last)) for start in range(first, last, JOINED_AT_ONCE)]
            new_codes = [self._join_columns(code_table, portion, names, products) for portion in portions]
            code_table.codes = np.concatenate([code_table.codes, *new_codes])
        return code_table

    def _find_valid_codes(
        self, names: Names, products: ProductTable | None
    ) -> tuple[CodedNames | None, Collection[str]]:
        """The codes that are still valid, and the products whose codes are not."""
        code_table = self._codes.get(names)
        if code_table is None or code_table.reshape_count != self._columns.reshape_count:
            return None, ()
        if products is None or code_table.version == products.version:
            return (code_table, ()) if (products is None) == (code_table.version is None) else (None, ())
        changed_ids = None if code_table.version is None else products.list_changed_since(code_table.version)
        return (None, ()) if changed_ids is None else (code_table, changed_ids)

    def count_joins(self, shape: SumsPlan, breakdown: Names, products: ProductTable | None) -> int:
        """Count the names that must be joined before the question is answered."""
        joins = {
            names for names in (shape.attributes, breakdown) if names and (products is not None or names == breakdown)
        }
        count = 0
        for names in joins:
            code_table, changed_ids = self._find_valid_codes(names, products)
            count += len(self._columns.names) - (0 if code_table is None else len(code_table.codes)) + len(changed_ids)
        return count

    def _list_columns(self, product_id: str) -> list[int]:
        columns = [self._columns.find_column(prefix + product_id.encode()) for prefix in self._prefixes]
        return [column for column in columns if column is not None]

    def _join_columns(
        self, code_table: CodedNames, columns: Sequence[int], names: Names, products: ProductTable | None
    ) -> NDArray[np.int32]:
        keys = list_keys([read_product_id(self._columns.names[column]) for column in columns], names, products)
        for key in dict.fromkeys(keys):
            if key not in code_table.code_of:
                code_table.code_of[key] = len(code_table.keys)
                code_table.keys.append(key)
        return np.array([code_table.code_of[key] for key in keys], dtype=np.int32)

    def _make_key(self, column: int, names: Names, products: ProductTable | None) -> RowKey:
        return list_keys([read_product_id(self._columns.names[column])], names, products)[0]


def list_keys(product_ids: Sequence[str], names: Names, products: ProductTable | None) -> list[RowKey]:
    """The key of each product: the named ones of its id and attributes. There may be 100,000 products."""
    values = [
        product_ids if name == PRODUCT_ID or products is None else list_attribute_values(products, product_ids, name)
        for name in names
    ]
    return list(zip(*values, strict=True))


def read_product_id(name: bytes) -> str:
    return name.partition(SEPARATOR.encode())[2].decode()


def _sum_values(values: Numbers) -> int:
    if values.dtype != object and float(np.abs(values.astype(np.float64)).sum()) < 2.0**62:
        return int(values.sum())
    return sum(values.tolist())


def _make_row(key: RowKey, total: int) -> AnswerRow:
    return AnswerRow(key, total, None, [total])
