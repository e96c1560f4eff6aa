"""The dashboard's catalog knows every field and every status that the API knows.

The pain: a product that the API calls a draft, shown as active in the form, and saved as that.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rtaplatform.catalog.entities.fields import PRODUCT_FIELDS, STATUSES, USER_FIELDS, Fields

PAGES = Path(__file__).parents[4] / "web" / "dashboard" / "src" / "pages"
KINDS = (PAGES / "catalog" / "kinds.ts").read_text()


def test_the_pages_know_every_status_of_a_product() -> None:
    declared = re.search(r"export const STATUSES = \[(.*?)\];", KINDS)
    assert declared is not None
    assert tuple(re.findall(r'"(\w+)"', declared[1])) == STATUSES


def test_the_form_and_the_filter_offer_that_list() -> None:
    assert re.findall(r'name: "status".*choices: (\w+)', KINDS) == ["STATUSES"]
    assert "STATUSES.map(" in (PAGES / "Catalog.tsx").read_text()


@pytest.mark.parametrize(("kind", "fields"), [("products", PRODUCT_FIELDS), ("users", USER_FIELDS)])
def test_the_form_has_every_field(kind: str, fields: Fields) -> None:
    (body,) = re.findall(rf"^  {kind}: \{{\n(.*?)^  \}},$", KINDS, re.DOTALL | re.MULTILINE)
    assert sorted(re.findall(r'\{ name: "(\w+)", label:', body)) == sorted(fields)
