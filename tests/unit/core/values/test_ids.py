"""Ids: one limit, in bytes."""

from __future__ import annotations

import pytest

from rtaplatform.core.values.ids import has_control, is_too_long


@pytest.mark.parametrize("text", ["", "x" * 256, "é" * 128, "😀" * 64, "\ud83d"])
def test_up_to_256_bytes_are_an_id(text: str) -> None:
    assert not is_too_long(text)


@pytest.mark.parametrize("text", ["x" * 257, "é" * 128 + "x", "😀" * 64 + "x", "x" * 40_000])
def test_more_than_256_bytes_are_none(text: str) -> None:
    assert is_too_long(text)


def test_control_characters_are_those_that_a_dimension_shows_as_blanks() -> None:
    assert all(has_control(f"a{chr(code)}") for code in (*range(0x20), 0x7F))
    assert not any(has_control(text) for text in ("", "a b", "é\x80\u2028", "😀"))
