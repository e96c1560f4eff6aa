"""What address, referrer and campaign tell together."""

from __future__ import annotations

from rtaplatform.collect.enrich.visit_origins import CACHED_CHARACTERS_MAX, VisitOrigin, find_origin


def test_the_address_gives_the_campaign_where_the_event_names_none() -> None:
    url = "https://shop.example/?utm_source=news&utm_medium=email"
    assert find_origin(url, "", "", "", is_named=False) == VisitOrigin(
        {"source": "news", "medium": "email"}, channel="email"
    )
    assert find_origin(url, "", "google", "cpc", is_named=True) == VisitOrigin(channel="paid")


def test_a_link_within_the_site_is_no_origin() -> None:
    assert find_origin("https://shop.example/b", "https://shop.example/a", "", "", is_named=False) == VisitOrigin()


def test_long_texts_are_read_too() -> None:
    long = "x" * CACHED_CHARACTERS_MAX
    origin = find_origin(f"https://shop.example/?q={long}", "https://www.google.com/", "", "", is_named=False)
    assert origin == VisitOrigin({}, "google.com", "search")
