"""Amounts: whole ten-thousandths, exactly, rounded once."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from rtaplatform.core.values.amounts import AmountError, check_range, read_amount_text, scale_amount, scale_product
from rtaplatform.simulate.oracle.oracle_amounts import InvalidAmount, read_amount
from rtaplatform.simulate.oracle.oracle_json import OracleNumber

LIMIT = 2**52


@pytest.mark.parametrize(
    ("text", "ten_thousandths"),
    [
        ("0", 0), ("-0", 0), ("1", 10_000), ("-1.5", -15_000), ("12.34", 123_400), ("0.0001", 1),
        ("1e2", 1_000_000), ("1E+2", 1_000_000), ("12345e-6", 123), ("1e-4", 1), ("0e99999999999999999999", 0),
        ("1e-99999999999999999999", 0), ("0.1", 1_000), ("1.005", 10_050),
    ],
)  # fmt: skip
def test_decimal_text_is_read(text: str, ten_thousandths: int) -> None:
    assert scale_amount(text) == ten_thousandths


@pytest.mark.parametrize(
    ("text", "ten_thousandths"),
    [
        ("0.00005", 0), ("0.00015", 2), ("0.00025", 2), ("0.00035", 4), ("-0.00005", 0), ("-0.00015", -2),
        ("-0.00025", -2), ("0.000050000000000000000000000001", 1), ("0.00014999999999999999999999999", 1),
        ("5e-5", 0), ("15e-5", 2), ("0.5e-4", 0),
    ],
)  # fmt: skip
def test_halves_are_rounded_to_even(text: str, ten_thousandths: int) -> None:
    assert scale_amount(text) == ten_thousandths


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "1 ", " 1", "+1", ".5", "5.", "1e", "e1", "1e1.5", "007", "00", "-", "--1", "1,5", "NaN", "Infinity",
        "0x1", "1_0", "٣",
    ],
)  # fmt: skip
def test_only_a_json_number_is_decimal_text(text: str) -> None:
    with pytest.raises(AmountError):
        scale_amount(text)


def test_the_range_is_two_to_the_52_after_rounding() -> None:
    assert scale_amount("450359962737.0496") == LIMIT
    assert scale_amount("-450359962737.0496") == -LIMIT
    assert scale_amount("450359962737.04964") == LIMIT
    assert scale_amount("450359962737.04965") == LIMIT  # a half, and 2^52 is even
    for text in ("450359962737.04966", "450359962737.0497", "-450359962737.0497", "1e16", "1e400", "1e9999999999999"):
        with pytest.raises(AmountError):
            scale_amount(text)
    assert check_range(LIMIT) == LIMIT
    with pytest.raises(AmountError):
        check_range(-LIMIT - 1)


def test_up_to_a_thousand_characters_are_read() -> None:
    assert scale_amount("0." + "1" * 998) == 1_111
    assert scale_amount("1." + "0" * 998) == 10_000
    assert scale_product("1." + "0" * 998, "0." + "5" * 998) == 5_556
    for text in ("0." + "1" * 999, "1" + "0" * 1_000, "-0." + "0" * 998):
        with pytest.raises(AmountError):
            scale_amount(text)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("12.5", "12.5"), ("1e2", "1e2"), ("-0", "-0"), ('"12.50"', "12.50"), ('" 12 "', "12"), ('"\\t-3\\n"', "-3"),
        ('"\\u00a07"', "7"), ("1." + "0" * 120, "1." + "0" * 120), ("null", None), ("", None),
    ],
)  # fmt: skip
def test_an_amount_is_a_number_or_the_text_of_one_plain_decimal(value: str, number: str | None) -> None:
    assert read_amount_text(Raw(value.encode())) == number


@pytest.mark.parametrize(
    "value",
    [
        '""', '" "', '"1e3"', '"+1"', '".5"', '"5."', '"1,5"', '"1,322.22"', '"1 000"', '"007"', '"$5"', '"5 EUR"',
        '"NaN"', '"٣"', '"0x1"', '"1_0"', "true", "false", "[]", "{}", "[1]", "1e400", "450359962737.0497",
        '"450359962737.0497"',
    ],
)  # fmt: skip
def test_everything_else_is_no_amount(value: str) -> None:
    with pytest.raises(AmountError):
        read_amount_text(Raw(value.encode()))


def test_price_times_quantity_is_rounded_once() -> None:
    assert scale_product("0.33333", "3") == 10_000  # 0.99999, not 3 × 0.3333
    assert scale_product("0.00005", "3") == 2  # 0.00015, half to even
    assert scale_product("1e100", "1e-100") == 10_000
    assert scale_product("-2.5", "0.5") == -12_500
    with pytest.raises(AmountError):
        scale_product("1000000", "1000000")


numbers = st.from_regex(r"-?(0|[1-9][0-9]{0,10})(\.[0-9]{1,12})?([eE][+-]?[0-9]{1,2})?", fullmatch=True)


@given(numbers)
def test_any_number_is_what_the_oracle_makes_of_it(text: str) -> None:
    try:
        expected = read_amount(OracleNumber(text))
    except InvalidAmount:
        with pytest.raises(AmountError):
            scale_amount(text)
    else:
        assert scale_amount(text) == expected


@given(numbers, numbers)
def test_products_are_exact(price: str, quantity: str) -> None:
    exact = Fraction(price) * Fraction(quantity) * 10_000
    if abs(exact) < LIMIT:
        assert scale_product(price, quantity) == round(exact)  # Python rounds fractions half to even


@given(st.decimals(min_value=-(10**9), max_value=10**9, places=6))
def test_no_float_is_involved(number: Decimal) -> None:
    assert scale_amount(f"{number:f}") == int((number * 10_000).to_integral_value(ROUND_HALF_EVEN))
