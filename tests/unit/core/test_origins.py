"""Origins: which entries may be listed, and which requests they allow."""

from __future__ import annotations

import re

import pytest

from rtaplatform.core.origins import ORIGIN_PATTERN, allows


@pytest.mark.parametrize(
    "entry",
    [
        "https://shop.example", "http://localhost:3000", "https://*.example.com", "https://*.example.com:8443",
        "capacitor://localhost", "ionic://localhost", "null", "http://[::1]:8000", "https://a_b.example",
    ],
)  # fmt: skip
def test_forms_of_the_contract_may_be_listed(entry: str) -> None:
    assert re.search(ORIGIN_PATTERN, entry)


@pytest.mark.parametrize(
    "entry",
    [
        "", "*", "shop.example", "https://", "https://shop.example/", "https://shop.example/a", "https://*",
        "https://a.*.example", "http://*.example.com", "https://**.example", "https://a b", "null ", "NULL",
        "https://user@shop.example", "https://shop.example:", "https://shop.example:123456", "https://.example",
    ],
)  # fmt: skip
def test_other_forms_may_not(entry: str) -> None:
    assert not re.search(ORIGIN_PATTERN, entry)


@pytest.mark.parametrize(
    ("entry", "origin"),
    [
        ("https://shop.example", "https://shop.example"),
        ("https://Shop.Example", "https://shop.example"),
        ("https://shop.example:443", "https://shop.example"),
        ("https://*.example.com", "https://a.example.com"),
        ("https://*.example.com", "https://a.b.example.com"),
        ("https://*.example.com:8443", "https://a.example.com:8443"),
        ("null", "null"),
        ("capacitor://localhost", "capacitor://localhost"),
    ],
)
def test_an_entry_lets_in_its_origins(entry: str, origin: str) -> None:
    assert allows(entry, origin)


@pytest.mark.parametrize(
    ("entry", "origin"),
    [
        ("https://shop.example", "http://shop.example"),
        ("https://shop.example", "https://shop.example:8443"),
        ("https://shop.example", "https://shop.example.evil.example"),
        ("https://*.example.com", "https://example.com"),
        ("https://*.example.com", "https://evilexample.com"),
        ("https://*.example.com", "http://a.example.com"),
        ("https://*.example.com", "https://a.example.com:8443"),
        ("https://*.example.com", "https://.example.com"),
        ("https://*.example.com", "https://a.example.com.evil.example"),
        ("null", "https://null"),
    ],
)
def test_nobody_else(entry: str, origin: str) -> None:
    assert not allows(entry, origin)
