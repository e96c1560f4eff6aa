"""The preferred language of a header."""

from __future__ import annotations

import pytest

from rtaplatform.collect.enrich.languages import read_preferred


@pytest.mark.parametrize(
    ("header", "tag"),
    [("de-CH,de;q=0.9,en;q=0.8", "de-CH"), ("en;q=0.5, fr", "fr"), ("*", ""), ("", ""), ("de;q=0", ""),
     ("en;q=x,fr;q=0.1", "fr"), ("zh-Hant-TW", "zh-Hant-TW"), ("<script>", ""), ("en;q=9", "en"), ("a" * 10_000, "")],
)  # fmt: skip
def test_the_greatest_weight_wins(header: str, tag: str) -> None:
    assert read_preferred(header) == tag
