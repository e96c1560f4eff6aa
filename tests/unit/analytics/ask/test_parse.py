from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtaplatform.analytics.ask.parse import parse_live, parse_object, parse_parameters, split_values
from rtaplatform.analytics.ask.time_expressions import read_moment, resolve
from rtaplatform.core.errors import InvalidParameter, NotFound
from rtaplatform.core.query import Anchor, Query, TimeExpression

HOUR = 3_600_000


def test_the_default_period_is_the_last_day() -> None:
    assert parse_parameters("events", []) == Query("events")


def test_all_parameters_are_read() -> None:
    parameters = {
        "from": "-2d", "to": "now", "interval": "hour", "timezone": "Europe/Berlin", "week_start": "sunday",
        "breakdown": "source,event", "limit": "7", "compare": "previous_year", "bots": "include", "source": "web,ios",
    }  # fmt: skip
    assert parse_parameters("events", parameters.items()) == Query(
        "events",
        TimeExpression(Anchor.NOW, -48 * HOUR),
        interval="hour",
        timezone="Europe/Berlin",
        week_start="sunday",
        filters=(("source", ("ios", "web")),),
        breakdown=("source", "event"),
        limit=7,
        compare="previous_year",
        bots="include",
    )


def test_post_and_get_give_the_same_query() -> None:
    by_url = parse_parameters("orders", [("from", "-1h"), ("source", "web"), ("breakdown", "event"), ("limit", "3")])
    by_body = parse_object(
        {"metric": "orders", "from": "-1h", "filters": {"source": ["web"]}, "breakdown": ["event"], "limit": 3}
    )
    assert by_url == by_body


@pytest.mark.parametrize(
    ("text", "zone", "instant"),
    [
        ("2026-11-22", "Europe/Berlin", "2026-11-21T23:00:00Z"),
        ("2026-11-22T10:00", "Europe/Berlin", "2026-11-22T09:00:00Z"),
        ("2026-11-22 10:00:05.5", "UTC", "2026-11-22T10:00:05.500Z"),
        ("2026-11-22T10:00:00Z", "Europe/Berlin", "2026-11-22T10:00:00Z"),
        ("2026-11-22 10:00 01", "UTC", "2026-11-22T09:00:00Z"),
        ("2026-11-22T10:00:00 01:00", "UTC", "2026-11-22T09:00:00Z"),
        ("2026-11-22T10:00:00+0530", "UTC", "2026-11-22T04:30:00Z"),
        ("2026-03-29T02:30", "Europe/Berlin", "2026-03-29T01:30:00Z"),
        ("2026-10-25T02:30", "Europe/Berlin", "2026-10-25T00:30:00Z"),
    ],
)
def test_times_are_read_as_people_write_them(text: str, zone: str, instant: str) -> None:
    assert resolve(read_moment(text, "from"), zone, 0) == resolve(read_moment(instant, "from"), "UTC", 0)


@pytest.mark.parametrize(
    "text", ["", "yesterday", "-5", "-5y", "+5m", "2026-13-01", "2026-11-22T25:00", "1e9", "٣", "-٣h"]
)
def test_an_invalid_time_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        read_moment(text, "to")
    assert refused.value.field == "to"
    assert refused.value.allowed


@pytest.mark.parametrize(
    ("metric", "parameters", "field"),
    [
        ("events", [("frm", "-1h")], "frm"),
        ("events", [("page", "/a")], "page"),
        ("events", [("interval", "fortnight")], "interval"),
        ("events", [("timezone", "Mars/Base")], "timezone"),
        ("events", [("timezone", "../../etc/passwd")], "timezone"),
        ("events", [("week_start", "someday")], "week_start"),
        ("events", [("breakdown", "page")], "breakdown"),
        ("events", [("breakdown", "source,source")], "breakdown"),
        ("events", [("breakdown", "product_id")], "breakdown"),
        ("events", [("product_id", "p")], "product_id"),
        ("online", [("source", "web")], "source"),
        ("events", [("source", "")], "source"),
        ("events", [("source", "web,,ios")], "source"),
        ("events", [("limit", "0")], "limit"),
        ("events", [("limit", "1001")], "limit"),
        ("events", [("limit", "1.5")], "limit"),
        ("events", [("limit", "٣")], "limit"),
        ("events", [("limit", "9" * 5000)], "limit"),
        ("events", [("compare", "yesterday")], "compare"),
        ("events", [("bots", "yes")], "bots"),
        ("events", [("from", "-1h"), ("from", "-2h")], "from"),
        ("events", [("source", "web"), ("source", "")], "source"),
        ("events", [("breakdown", "source"), ("breakdown", "source")], "breakdown"),
        ("events", [("limit", "5"), ("limit", "5")], "limit"),
    ],
)
def test_every_wrong_parameter_is_named(metric: str, parameters: list[tuple[str, str]], field: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        parse_parameters(metric, parameters)
    assert refused.value.field == field


def test_an_unknown_metric_is_not_found_and_the_nearest_is_named() -> None:
    with pytest.raises(NotFound) as refused:
        parse_parameters("order", [])
    assert "orders" in str(refused.value.hint)


@pytest.mark.parametrize(
    ("question", "field"),
    [
        ([], None),
        ({}, "metric"),
        ({"metric": 5}, "metric"),
        ({"metric": "orders", "source": ["web"]}, "source"),
        ({"metric": "orders", "filters": ["web"]}, "filters"),
        ({"metric": "orders", "filters": {"source": []}}, "source"),
        ({"metric": "orders", "filters": {"source": [1]}}, "source"),
        ({"metric": "orders", "filters": {"page": ["a"]}}, "page"),
        ({"metric": "orders", "breakdown": [1]}, "breakdown"),
        ({"metric": "orders", "limit": True}, "limit"),
        ({"metric": "orders", "limit": "5"}, "limit"),
        ({"metric": "orders", "from": 5}, "from"),
        ({"metric": "orders", "interval": ["day"]}, "interval"),
        ({"metric": "orders", "timezone": {}}, "timezone"),
    ],
)
def test_every_wrong_field_is_named(question: object, field: str | None) -> None:
    with pytest.raises(InvalidParameter) as refused:
        parse_object(question)
    assert refused.value.field == field


VALUE = st.text(st.characters(codec="utf-8", exclude_characters="\\"), min_size=1, max_size=8)


@given(st.lists(VALUE, min_size=1, max_size=4, unique=True))
def test_every_value_can_be_asked_for_in_one_parameter_or_in_several(values: list[str]) -> None:
    """A backslash is escaped by nothing: a value that ends in one takes a parameter of its own."""
    filters = (("event", tuple(sorted(values))),)
    text = ",".join(value.replace(",", "\\,") for value in values)
    assert parse_parameters("events", [("event", text)]).filters == filters
    if len(values) > 1:
        assert parse_parameters("events", [("event", value) for value in values]).filters == filters


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a,b", ["a", "b"]),
        (r"a\,b", ["a,b"]),
        (r"Shirts\, blue,Hats", ["Shirts, blue", "Hats"]),
        (r"a\\,b", [r"a\,b"]),
        (r"C:\dir", [r"C:\dir"]),
        ("a\\", ["a\\"]),
        (r"\,", [","]),
        ("a, b", ["a", " b"]),
        ("a,", ["a", ""]),
        ("", [""]),
    ],
)
def test_values_are_split_at_commas_that_are_not_escaped(text: str, values: list[str]) -> None:
    assert split_values(text) == values


def test_names_of_dimensions_and_metrics_may_be_given_several_times() -> None:
    query = parse_parameters("events", [("breakdown", "source"), ("breakdown", "event")])
    assert query.breakdown == ("source", "event")
    assert [q.metric for q in parse_live([("metrics", "events"), ("metrics", "orders")])] == ["events", "orders"]


def test_live_metrics_share_the_parameters() -> None:
    queries = parse_live([("metrics", "events,online"), ("from", "-1h"), ("ticket", "x")], besides=("ticket",))
    assert [query.metric for query in queries] == ["events", "online"]


@pytest.mark.parametrize(
    "parameters",
    [[], [("metrics", "")], [("metrics", "events,events")], [("metrics", "events")] * 2, [("metrics", "x")]],
)
def test_live_needs_different_metrics(parameters: list[tuple[str, str]]) -> None:
    with pytest.raises(InvalidParameter) as refused:
        parse_live(parameters)
    assert refused.value.field == "metrics"
