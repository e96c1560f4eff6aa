"""Campaigns, referring hosts and channels."""

from __future__ import annotations

import pytest

from rtaplatform.collect.enrich.channels import NO_ADDRESS, find_channel, find_host, read_address


def test_all_fields_of_a_campaign() -> None:
    url = (
        "https://shop.example/?utm_source=News&UTM_Medium=email&utm_campaign=may%20sale&utm_term=shoes&utm_content=top"
    )
    assert read_address(url).campaign == {
        "source": "News", "medium": "email", "name": "may sale", "term": "shoes", "content": "top"
    }  # fmt: skip


def test_the_first_of_equal_names_counts_and_blanks_count_nothing() -> None:
    assert read_address("?utm_source=&utm_source=a&utm_source=b&utm_medium=%20").campaign == {"source": "a"}


@pytest.mark.parametrize(
    ("query", "source", "is_paid"),
    [("gclid=1", "google", True), ("msclkid=1", "bing", True), ("fbclid=1", "facebook", False),
     ("fbclid=1&gclid=1", "google", True), ("gclid=", "", False), ("GCLID=1", "google", True)],
)  # fmt: skip
def test_ids_of_clicks_name_the_source(query: str, source: str, is_paid: bool) -> None:
    address = read_address(f"https://shop.example/a?{query}")
    assert (address.click_source, address.is_paid_click) == (source, is_paid)


@pytest.mark.parametrize(
    ("url", "host"),
    [("https://www.Google.de/search?q=x", "google.de"), ("http://user:secret@blog.example:8080/x", "blog.example"),
     ("android-app://com.google.android.gm/", "com.google.android.gm"),
     ("http://[2001:db8::1]:80/", "[2001:db8::1]:80"),
     ("/a/b", ""), ("", ""), ("http://[", ""), ("nonsense", "")],
)  # fmt: skip
def test_hosts(url: str, host: str) -> None:
    assert find_host(url) == host


def test_addresses_without_end_are_cut() -> None:
    assert read_address("https://shop.example/?" + "a=1&" * 100_000) == NO_ADDRESS
    assert read_address("https://shop.example/" + "x" * 1_000_000).host == "shop.example"


@pytest.mark.parametrize(
    ("host", "source", "medium", "channel"),
    [
        ("", "", "", "direct"),
        ("google.co.uk", "", "", "search"), ("duckduckgo.com", "", "", "search"),
        ("search.brave.com", "", "", "search"),
        ("t.co", "", "", "social"), ("l.facebook.com", "", "", "social"), ("old.reddit.com", "", "", "social"),
        ("mail.google.com", "", "", "email"), ("com.google.android.gm", "", "", "email"),
        ("blog.example.org", "", "", "referral"), ("google.evil.example", "", "", "referral"),
        ("google.com", "google", "cpc", "paid"), ("", "partner", "CPC", "paid"),
        ("", "may-letter", "email", "email"), ("", "newsletter", "", "email"),
        ("", "facebook", "social", "social"), ("", "facebook", "", "social"), ("", "google", "", "search"),
        ("", "partner", "", "referral"), ("google.com", "", "banner", "paid"),
    ],
)  # fmt: skip
def test_channels(host: str, source: str, medium: str, channel: str) -> None:
    assert find_channel(host, source, medium) == channel


def test_a_paid_click_is_paid_whatever_else_is_said() -> None:
    assert find_channel("google.com", "google", "email", is_paid_click=True) == "paid"
