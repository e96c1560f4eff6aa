"""Values that look like markers are escaped, in answers and in queries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtaplatform.core.events import CALL_NAMES
from rtaplatform.core.rollups import OTHER
from rtaplatform.core.values.dimensions import as_dimension
from rtaplatform.core.values.markers import to_shown_value, to_stored_value, to_track_name

TRICKY = st.lists(st.sampled_from(["\\", "(none)", "(other)", "$page", "a", " "]), max_size=4).map("".join)


@given(TRICKY | st.text(max_size=20).map(as_dimension) | st.just(OTHER))
def test_a_shown_value_names_exactly_its_stored_value(value: str) -> None:
    assert to_stored_value(to_shown_value(value)) == value


@given(TRICKY, TRICKY)
def test_no_two_values_are_shown_alike(value: str, other: str) -> None:
    assert (to_shown_value(value) == to_shown_value(other)) == (value == other)


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("", "(none)"), (OTHER, "(other)"), ("(none)", "\\(none)"), ("(other)", "\\(other)"),
        ("\\(none)", "\\\\(none)"), ("none", "none"), ("(None)", "(None)"), ("\\n", "\\n"), ("(none) ", "(none) "),
    ],
)  # fmt: skip
def test_only_what_reads_like_a_marker_has_a_backslash(stored: str, shown: str) -> None:
    assert to_shown_value(stored) == shown


@given(TRICKY, TRICKY)
def test_no_track_event_shares_a_name_with_a_call_or_another_event(name: str, other: str) -> None:
    assert to_track_name(name) not in CALL_NAMES.values()
    assert (to_track_name(name) == to_track_name(other)) == (name == other)


def test_a_track_named_like_a_call_is_told_apart() -> None:
    names = ("$page", "\\$page", "$pages", "page", "$Page", "")
    assert [to_track_name(name) for name in names] == ["\\$page", "\\\\$page", "$pages", "page", "$Page", ""]


def test_a_filter_cannot_reach_other_fields() -> None:
    assert to_stored_value("web\x1fDE") == "web DE"
    assert to_stored_value("\x1e") == " "
    assert to_stored_value("(none)") == ""
    assert to_stored_value("ä" * 200) == "ä" * 128
