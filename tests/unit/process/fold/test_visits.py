"""What the context of an event adds: by page, by campaign and referrer, by system and browser, by region."""

from __future__ import annotations

from typing import Any

import pytest

from rtaplatform.core.rollups import BOT_PREFIX, VISIT_DIMENSIONS, VISITS, make_field
from rtaplatform.core.time.buckets import DAY_MS
from rtaplatform.core.time.timestamps import format_iso_utc
from rtaplatform.process.decode.context import extract_language
from tests.unit.process.fold.test_fold import NOW, fold, make_message, record

CONTEXT = {
    "page": {"path": "/a", "url": "https://shop.example/a?utm_source=may"},
    "campaign": {"source": "may", "medium": "email", "name": "spring"},
    "referrer": {"host": "mail.example"},
    "channel": "email",
    "os": {"name": "iOS"},
    "browser": {"name": "Safari"},
    "device": {"type": "phone"},
    "location": {"country": "DE", "region": "DE-BE"},
    "locale": "de-DE",
}


def fold_cells(*values: bytes) -> dict[str, dict[str, int]]:
    """By rollup, those of the hour."""
    delta, _ = fold(*(record(value, offset=n) for n, value in enumerate(values)))
    kinds = {key.kind.value for key in delta.cells if key.rollup in {rollup.name for rollup in VISITS}}
    assert kinds == {"h", "d"}
    return {key.rollup: fields for key, fields in delta.cells.items() if key.kind.value == "h"}


def test_a_page_view_is_counted_by_its_page_campaign_technology_and_region() -> None:
    cells = fold_cells(make_message(context=CONTEXT))
    assert cells["pages"] == {"page_views": 1, make_field("page_views", "/a", "web"): 1}
    for rollup, values in (
        ("acquisition", ("may", "email", "spring", "mail.example", "email")),
        ("technology", ("iOS", "Safari", "phone")),
        ("regions", ("DE", "DE-BE", "de")),
    ):
        assert cells[rollup] == {
            name: 1 for measure in ("count", "page_views") for name in (measure, make_field(measure, *values))
        }


def test_a_track_is_no_page_view_and_what_lacks_is_empty() -> None:
    cells = fold_cells(make_message(type="track", event="Looked"))
    assert "pages" not in cells
    assert cells["acquisition"] == {"count": 1, make_field("count", "", "", "", "", ""): 1}


def test_a_bot_is_counted_apart_and_is_no_visitor() -> None:
    delta, _ = fold(record(make_message(context=CONTEXT, marks=["bot:agent"])))
    cells = {key.rollup: fields for key, fields in delta.cells.items() if key.kind.value == "h"}
    assert cells["pages"] == {f"{BOT_PREFIX}page_views": 1, make_field(f"{BOT_PREFIX}page_views", "/a", "web"): 1}
    assert not delta.sketches


def test_persons_are_counted_by_what_is_known_of_their_visits() -> None:
    delta, _ = fold(record(make_message(context=CONTEXT)))
    of_day = {key.dimension: key.value for key in delta.sketches if key.kind.value == "d"}
    assert [of_day[name] for name in VISIT_DIMENSIONS] == [
        "may", "email", "spring", "mail.example", "email", "iOS", "Safari", "DE-BE", "de",
    ]  # fmt: skip
    assert of_day["page"] == "/a"


def test_persons_by_page_and_visit_are_kept_for_eight_days_of_hours() -> None:
    late = make_message(context=CONTEXT, timestamp=format_iso_utc(NOW - 9 * DAY_MS))
    delta, _ = fold(record(late))
    assert {key.kind.value for key in delta.sketches if key.dimension in ("page", "browser")} == {"d"}
    assert {key.kind.value for key in delta.sketches if key.dimension == "device"} == {"h", "d"}


@pytest.mark.parametrize(
    ("context", "acquisition"),
    [
        ({"campaign": {"source": 5, "medium": True, "name": None}}, ("5", "true", "", "", "")),
        ({"campaign": "may", "referrer": "https://a.example/", "channel": "direct"}, ("", "", "", "", "direct")),
        ({"campaign": [], "referrer": {"host": {"a": 1}}, "channel": ["x"]}, ("", "", "", "", "")),
    ],
)
def test_a_context_of_another_form_is_read_as_far_as_it_can_be(
    context: dict[str, Any], acquisition: tuple[str, ...]
) -> None:
    assert make_field("count", *acquisition) in fold_cells(make_message(context=context))["acquisition"]


@pytest.mark.parametrize(
    ("locale", "language"), [("de-CH", "de"), ("EN_us", "en"), ("fr", "fr"), ("", ""), (None, ""), ("-", "")]
)
def test_the_language_of_a_locale(locale: str | None, language: str) -> None:
    assert extract_language(locale) == language
