"""The differences between users and products. Their common code is in entity_rows.py, pages.py and bulk.py."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from sqlalchemy import ColumnElement, Table, func

from rtaplatform.catalog.entities.fields import PRODUCT_FIELDS, USER_FIELDS, Fields
from rtaplatform.catalog.tables import PRODUCTS, USERS

# Paths of the API itself, and segments that HTTP clients remove from a path.
RESERVED_USER_IDS = frozenset({"import", "export", ".", ".."})
RESERVED_PRODUCT_IDS = RESERVED_USER_IDS | {"popular", "trending"}
DERIVED_FIELDS = ("created_at", "updated_at")


class EntityType(Struct, frozen=True):
    """A table whose rows have ids that the project chose."""

    name: str
    plural: str
    table: Table
    fields: Fields
    json_field: str  # the free object, which an import merges by key
    filters: tuple[str, ...]
    searched: tuple[str, ...]
    reserved: frozenset[str]

    @property
    def answer_fields(self) -> tuple[str, ...]:
        """The fields of an answer, in order."""
        return ("id", *self.fields, *DERIVED_FIELDS)

    def filter_by(self, name: str, value: str) -> ColumnElement[bool]:
        column = self.table.c[name]
        return func.lower(column) == func.lower(value) if name == "email" else column == value


USER = EntityType(
    name="user", plural="users", table=USERS, fields=USER_FIELDS, json_field="traits", filters=("email",),
    searched=("name", "email"), reserved=RESERVED_USER_IDS,
)  # fmt: skip
PRODUCT = EntityType(
    name="product", plural="products", table=PRODUCTS, fields=PRODUCT_FIELDS, json_field="attributes",
    filters=("category", "brand", "status"), searched=("name",), reserved=RESERVED_PRODUCT_IDS,
)  # fmt: skip
KINDS: dict[str, EntityType] = {USER.plural: USER, PRODUCT.plural: PRODUCT}


def render_row(kind: EntityType, row: Any) -> dict[str, Any]:
    """A row of the table as an answer shows it."""
    values = {name: getattr(row, name) for name in kind.answer_fields}
    if values.get("price") is not None:
        values["price"] = float(values["price"])  # exact: fields.PRICE_MAX
    return values
