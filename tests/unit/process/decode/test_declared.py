"""The values of declared properties."""

from __future__ import annotations

import pytest

from rtaplatform.process.decode.declared import read_declared


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"coupon": "SPRING"}', "SPRING"),
        ('{"coupon": 1.50}', "1.50"),
        ('{"coupon": -0}', "-0"),
        ('{"coupon": 1e3}', "1e3"),
        ('{"coupon": true}', "true"),
        ('{"coupon": "a\\tb"}', "a b"),
        ('{"coupon": "first", "coupon": "last"}', "last"),
        ('{"coupon": null}', ""),
        ('{"coupon": ""}', ""),
        ('{"coupon": ["SPRING"]}', ""),
        ('{"coupon": {"code": "SPRING"}}', ""),
        ('{"other": "SPRING"}', ""),
        ("", ""),
    ],
)
def test_a_value_is_text_as_it_was_written_and_what_is_no_scalar_is_none(text: str, value: str) -> None:
    assert read_declared(text.encode(), ("coupon",)) == (("coupon", value),)


def test_a_long_value_is_cut_and_properties_keep_the_order_of_their_declaration() -> None:
    text = '{"plan": "pro", "search": "%s"}' % ("ä" * 200)
    assert read_declared(text.encode(), ("search", "coupon", "plan")) == (
        ("search", "ä" * 128),
        ("coupon", ""),
        ("plan", "pro"),
    )
