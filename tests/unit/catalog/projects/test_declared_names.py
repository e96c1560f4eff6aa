"""Which properties a project can declare."""

from __future__ import annotations

from typing import Any

import pytest

from rtaplatform.catalog.entities.fields import read_object
from rtaplatform.catalog.projects.project_admin import PROJECT_FIELDS, read_change
from rtaplatform.core.errors import InvalidParameter


def test_names_are_kept_in_their_order_and_each_once() -> None:
    change = {"event_properties": ["plan", "utm-Term_2", "plan", "_x"]}
    assert read_object(change, PROJECT_FIELDS)["event_properties"] == ["plan", "utm-Term_2", "_x"]
    assert read_change({"event_properties": None}, {"event_properties": ["plan"]}) == {"event_properties": []}


@pytest.mark.parametrize(
    "names", ["plan", ["a.b"], ["1st"], ["a b"], [""], ["x" * 41], [7], [f"p{n}" for n in range(9)], {"plan": 1}]
)
def test_a_wrong_name_is_a_refusal_that_says_what_is_right(names: Any) -> None:
    with pytest.raises(InvalidParameter) as refusal:
        read_object({"event_properties": names}, PROJECT_FIELDS)
    assert refusal.value.field == "event_properties"
    assert refusal.value.allowed
