"""Which products have changed: those whose category or brand has, and never one too few."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rtaplatform.catalog.products import product_table
from rtaplatform.catalog.products.product_table import Product, ProjectProductTable

ID = st.sampled_from(["a", "b", "c", "d"])
PRODUCT = st.builds(
    lambda category, brand, price: Product("x", category, brand, price, None, None),
    st.sampled_from([None, "shoes", "hats"]), st.sampled_from([None, "Acme"]), st.sampled_from([1.0, 2.0]),
)  # fmt: skip
PRODUCTS = st.dictionaries(ID, PRODUCT)
STEP = st.tuples(st.booleans(), st.sets(ID), PRODUCTS)


def list_joined(table: ProjectProductTable) -> dict[str, tuple[str | None, str | None]]:
    return {id: (product.category, product.brand) for id, product in table.by_id.items()}


@given(PRODUCTS, st.lists(STEP, max_size=6))
async def test_what_has_changed_since_a_version_is_told(
    products: dict[str, Product], steps: list[tuple[bool, set[str], dict[str, Product]]]
) -> None:
    table = ProjectProductTable(dict(products))
    past = [(table.version, list_joined(table))]
    for is_whole, ids, changes in steps:
        if is_whole:
            await table.replace(dict(changes))
        else:
            table.update(ids, changes)
        now = list_joined(table)
        past.append((table.version, now))
        for version, before in past:
            changed = table.list_changed_since(version)
            assert changed is not None
            assert {id for id in {*before, *now} if before.get(id) != now.get(id)} <= set(changed)
            assert (version == table.version) <= (before == now)


def test_a_price_changes_no_version_and_is_there() -> None:
    table = ProjectProductTable({"a": Product("x", "shoes", None, 1.0, "EUR", None)})
    version = table.version
    table.update(["a"], {"a": Product("y", "shoes", None, 2.0, "EUR", None)})
    assert (table.version, table.by_id["a"].price) == (version, 2.0)
    table.update(["a"], {})
    assert table.by_id == {}
    assert (table.version > version, table.list_changed_since(version)) == (True, {"a"})


def test_of_too_many_changes_and_of_other_tables_versions_nothing_is_told() -> None:
    table = ProjectProductTable({})
    version = table.version
    many = {f"p-{n}": Product("x", "shoes", None, None, None, None) for n in range(product_table.CHANGES_MAX + 1)}
    table.update(many, many)
    assert table.list_changed_since(version) is None
    assert table.list_changed_since(table.version) == set()
    assert ProjectProductTable({}).list_changed_since(table.version) is None
