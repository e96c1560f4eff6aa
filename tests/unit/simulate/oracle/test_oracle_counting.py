"""The oracle's counting: duplicates (rule 3), late (4), and what an applied event adds (5)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rtaplatform.simulate.oracle.oracle import ConsumedRecord
from tests.unit.simulate.oracle.oracle_records import (
    DAY,
    HOUR,
    MINUTE,
    NOW,
    count_project,
    find_truth,
    format_iso,
    make_consumed,
    make_message,
    make_order,
    make_raw,
    track,
)

HERE = ("minute", NOW // MINUTE)
CELL = (*HERE, "Order Completed", "web", "(none)", "(none)")


def _count_order_cell(**properties: Any) -> dict[str, int]:
    return count_project(make_order(**properties)).events[CELL]


# Rule 3 ------------------------------------------------------------------------------------------------------------


def test_a_repeat_is_a_duplicate_however_late_it_comes_within_a_day() -> None:
    assert count_project(make_raw(), make_raw(NOW + DAY - 1)).totals["duplicate"] == 1
    assert count_project(make_raw(), make_raw(NOW + DAY)).totals["duplicate"] == 0


def test_a_repeat_does_not_prolong_its_block_and_a_new_id_does() -> None:
    assert count_project(make_raw(), make_raw(NOW + DAY - 1), make_raw(NOW + DAY)).totals["duplicate"] == 1
    assert (
        count_project(make_raw(), make_raw(NOW + DAY - 1, messageId="m-2"), make_raw(NOW + DAY)).totals["duplicate"]
        == 1
    )


def test_an_expired_block_is_emptied_by_its_next_write() -> None:
    project = count_project(make_raw(), make_raw(NOW + DAY, messageId="m-2"), make_raw(NOW + DAY), make_raw(NOW + DAY))
    assert project.totals["duplicate"] == 1


def test_own_time_picks_the_block() -> None:
    second = format_iso(NOW + MINUTE)
    assert count_project(make_raw(), make_raw(timestamp=second)).totals["duplicate"] == 0
    assert (
        count_project(make_raw(originalTimestamp=second), make_raw(originalTimestamp=second, timestamp=second)).totals[
            "duplicate"
        ]
        == 1
    )
    assert count_project(make_raw(), make_raw(timestamp=format_iso(NOW + MINUTE - 1))).totals["duplicate"] == 1


def test_original_timestamp_null_means_no_own_time() -> None:
    again = {"originalTimestamp": None}
    assert count_project(make_raw(**again), make_raw(NOW + 23 * HOUR, **again)).totals["duplicate"] == 1
    assert (
        count_project(make_raw(**again), make_raw(**{**again, "timestamp": format_iso(NOW - HOUR)})).totals["duplicate"]
        == 1
    )
    assert count_project(make_raw(**again), make_raw()).totals["duplicate"] == 0


def test_ids_with_absurd_own_times_are_known_by_themselves() -> None:
    for text in ("1999-12-31T23:59:59Z", "2100-01-01", "nonsense", "2000-01-01", "2099-12-31"):
        assert (
            count_project(make_raw(originalTimestamp=text), make_raw(originalTimestamp=None)).totals["duplicate"] == 1
        )
    near = format_iso(NOW + 25 * HOUR)
    assert count_project(make_raw(originalTimestamp=near), make_raw(originalTimestamp=None)).totals["duplicate"] == 0


def test_the_life_of_a_loose_id_is_its_own() -> None:
    again = {"originalTimestamp": None}
    assert (
        count_project(make_raw(**again), make_raw(NOW + DAY - 1, **again), make_raw(NOW + DAY, **again)).totals[
            "duplicate"
        ]
        == 1
    )
    other = make_raw(NOW + DAY - 1, messageId="m-2", **again)
    assert count_project(make_raw(**again), other, make_raw(NOW + DAY, **again)).totals["duplicate"] == 0


@pytest.mark.parametrize("hours", [-73, -72, -49, -48, -47, -46, 0, 1, 2, 24, 25, 26, 27])
def test_an_id_is_known_for_a_day_wherever_stream_time_has_gone_meanwhile(hours: int) -> None:
    own = {"originalTimestamp": format_iso(NOW + hours * HOUR)}
    for later in (0, 1, MINUTE, HOUR, 2 * HOUR, 23 * HOUR, DAY - 1):
        assert count_project(make_raw(**own), make_raw(NOW + later, **own)).totals["duplicate"] == 1, later
    assert count_project(make_raw(**own), make_raw(NOW + DAY, **own)).totals["duplicate"] == 0


def test_topics_and_slices_have_blocks_of_their_own() -> None:
    value = json.dumps(make_message()).encode()
    assert count_project(make_consumed(value), make_consumed(value, topic="rta.events.mobile")).totals["duplicate"] == 0
    assert count_project(make_consumed(value, key=b"21"), make_consumed(value, key=b"foobar")).totals["duplicate"] == 0
    assert count_project(make_consumed(value, key=None), make_consumed(value, key=b"")).totals["duplicate"] == 1


def test_made_and_missing_ids_are_unchecked() -> None:
    for fields in ({"messageId": ""}, {"messageId": None}, {"marks": ["made_id"]}):
        totals = count_project(make_raw(**fields), make_raw(**fields)).totals
        assert (totals["unchecked"], totals["applied"], totals["duplicate"]) == (2, 2, 0)


def test_dead_letters_are_not_remembered_and_late_events_are() -> None:
    assert count_project(make_raw(anonymousId=""), make_raw()).totals["applied"] == 1
    old = {"timestamp": format_iso(NOW - 500 * DAY)}
    totals = count_project(make_raw(**old), make_raw(**old)).totals
    assert (totals["late"], totals["duplicate"]) == (1, 1)


# Rule 4 ------------------------------------------------------------------------------------------------------------


def test_buckets_are_kept_for_their_retention() -> None:
    edges = {"minute": 48 * HOUR + MINUTE, "hour": 60 * DAY + HOUR, "day": 400 * DAY}
    for kind, retention in edges.items():
        start = (NOW - retention) // DAY * DAY
        on_edge = count_project(make_raw(start + retention, timestamp=format_iso(start)))
        assert kind not in {cell[0] for cell in on_edge.events}
        before = count_project(make_raw(start + retention - 1, timestamp=format_iso(start)))
        assert kind in {cell[0] for cell in before.events}


def test_past_the_day_it_is_late() -> None:
    start = (NOW - 400 * DAY) // DAY * DAY
    assert count_project(make_raw(start + 400 * DAY, timestamp=format_iso(start + HOUR))).totals["late"] == 1
    assert count_project(make_raw(start + 400 * DAY - 1, timestamp=format_iso(start))).totals["late"] == 0


def test_stream_time_is_the_greatest_so_far_and_of_its_partition() -> None:
    old = {"timestamp": format_iso(NOW - 3 * DAY), "messageId": "m-2"}
    assert "minute" in {cell[0] for cell in count_project(make_raw(NOW - 3 * DAY, **old)).events}
    after = count_project(make_raw(NOW, type="screen"), make_raw(NOW - 3 * DAY, **old))
    assert ("minute", "$page") not in {(cell[0], cell[2]) for cell in after.events}
    elsewhere = make_consumed(json.dumps(make_message(**old)).encode(), NOW - 3 * DAY, partition=1)
    assert ("minute", "$page") in {
        (cell[0], cell[2]) for cell in count_project(make_raw(NOW, type="screen"), elsewhere).events
    }


def test_quality_is_counted_at_stream_time() -> None:
    project = count_project(make_raw(), make_raw(NOW + 2 * HOUR))
    assert project.quality["minute", (NOW + 2 * HOUR) // MINUTE]["duplicate"] == 1


def test_every_record_is_exactly_one_thing() -> None:
    truth = find_truth(
        [
            make_raw(),
            make_raw(),
            make_consumed(b"{"),
            make_raw(type="x"),
            make_raw(timestamp="2020-01-01", messageId="m-9"),
        ]
    )
    outcomes = ("applied", "duplicate", "late", "dead")
    assert sum(project.totals[name] for project in truth.projects.values() for name in outcomes) == 5
    assert truth.consumed == {("rta.events.web", 0): 5}
    assert truth.dead == {"rta.events.web:0:2": "not_json", "rta.events.web:0:3": "unknown_type"}
    assert truth.projects[""].totals["dead"] == 1


# Rule 5 ------------------------------------------------------------------------------------------------------------


def test_amounts_are_rounded_half_to_even_once() -> None:
    assert _count_order_cell(revenue="0.00005")["revenue"] == 0
    assert _count_order_cell(revenue="0.00015")["revenue"] == 2
    assert _count_order_cell(revenue="0.00025000000000000000000000000000000000000001")["revenue"] == 3
    assert _count_order_cell(price="0.333333", quantity=3)["revenue"] == 10_000
    assert _count_order_cell(price=0.1, quantity="0.00105")["revenue"] == 1


def test_revenue_then_total_then_lines() -> None:
    lines = [{"product_id": "p-1", "price": 2.5, "quantity": 2}, {"product_id": "p-2", "price": 1}]
    assert _count_order_cell(products=lines)["revenue"] == 60_000
    assert _count_order_cell(products=lines, total=7)["revenue"] == 70_000
    assert _count_order_cell(products=lines, total=7, revenue=0)["revenue"] == 0
    assert _count_order_cell(products=lines)["units"] == 30_000


def test_lines_of_the_root() -> None:
    assert _count_order_cell(product_id="p-1", price=2)["units"] == 10_000
    assert _count_order_cell(products=[], quantity=3)["units"] == 30_000
    assert _count_order_cell(order_id="o-1")["units"] == 0


def test_products_of_an_order() -> None:
    lines = [{"product_id": "p-1", "price": 2}, {"product_id": "p-1", "price": 3, "quantity": 2}, {"price": 9}]
    products = count_project(make_order(products=lines, revenue=1)).products
    assert dict(products)[(*HERE, "p-1")] == {
        "views": 0, "adds": 0, "checkouts": 0, "orders": 1, "units": 30_000, "revenue": 80_000, "refunds": 0,
        "refunded_units": 0,
    }  # fmt: skip
    assert products[*HERE, ""]["revenue"] == 90_000
    assert {cell[2] for cell in products} == {"p-1", ""}


def test_checkout_counts_each_product_once() -> None:
    lines = [{"product_id": "p-1"}, {"product_id": "p-1"}, {"product_id": 5}]
    products = count_project(track("Checkout Started", {"products": lines})).products
    assert {cell[2]: numbers["checkouts"] for cell, numbers in products.items()} == {"p-1": 1, "5": 1}


def test_views_and_adds_take_the_root_product() -> None:
    lines = {"product_id": "p-1", "products": [{"product_id": "p-2"}]}
    products = count_project(track("Product Viewed", lines), track("Product Added", lines, messageId="m-2")).products
    assert {cell[2]: (numbers["views"], numbers["adds"]) for cell, numbers in products.items()} == {"p-1": (1, 1)}


def test_another_currency_gives_units_but_no_revenue() -> None:
    project = count_project(make_order(product_id="p-1", price=5, currency="usd"))
    assert project.events[CELL] == {
        "count": 1, "orders": 1, "units": 10_000, "revenue": 0, "refunds": 0, "other_currencies": 1,
    }  # fmt: skip
    assert project.products[*HERE, "p-1"]["revenue"] == 0
    for currency in ("eur", "EUR", "", " ", None, " EUR", "eur\n", "EUR\u200b", "\ufeffEUR"):
        assert _count_order_cell(price=5, currency=currency)["revenue"] == 50_000
    for other in (978, ["EUR"], True, "EUR$", "€", "Euro", "E UR"):
        assert _count_order_cell(price=5, currency=other)["other_currencies"] == 1


def test_only_orders_have_revenue() -> None:
    project = count_project(track("Order Refunded", {"total": 5, "product_id": "p-1"}))
    assert {(numbers["revenue"], numbers["refunds"]) for numbers in project.events.values()} == {(0, 50_000)}
    assert project.products[*HERE, "p-1"]["refunded_units"] == 10_000


def test_source_is_the_topics_where_it_is_not_said() -> None:
    value = json.dumps(make_message(source="tv")).encode()
    project = count_project(make_consumed(value, topic="rta.events.mobile"), make_raw(source="ios"))
    assert {cell[3] for cell in project.events} == {"android", "ios"}


def test_persons_are_distinct_by_project_source_and_product() -> None:
    viewed = {"product_id": "p-1"}
    project = count_project(
        track("Product Viewed", viewed, messageId="1"),
        track("Product Viewed", viewed, messageId="2", userId="a-1"),
        track("Checkout Started", viewed, messageId="3", anonymousId="a-3"),
    )
    persons = {("a", "a-1"), ("u", "a-1")}
    assert project.persons[*HERE, "product_id", "p-1"] == persons
    assert project.persons[*HERE, "", ""] == persons | {("a", "a-3")}
    assert project.persons[*HERE, "source", "web"] == persons | {("a", "a-3")}


def test_persons_are_distinct_by_country_and_device() -> None:
    def seen(message_id: str, person: str, country: str | None, device: str | None) -> ConsumedRecord:
        context = {"location": {"country": country}, "device": {"type": device}}
        return track("$page", {}, messageId=message_id, anonymousId=person, context=context)

    project = count_project(
        seen("1", "a-1", "DE", "phone"), seen("2", "a-1", "FR", "phone"), seen("3", "a-2", None, "(none)")
    )
    names = {cell[2:]: len(members) for cell, members in project.persons.items() if cell[:2] == HERE}
    assert {name: n for name, n in names.items() if name[0] in ("country", "device")} == {
        ("country", "DE"): 1, ("country", "FR"): 1, ("country", "(none)"): 1,
        ("device", "phone"): 1, ("device", "\\(none)"): 1,
    }  # fmt: skip


def test_bots_are_kept_apart_and_are_nobody() -> None:
    project = count_project(track("Product Viewed", {"product_id": "p-1"}, marks=["bot:user_agent"]))
    assert not project.events
    assert not project.products
    assert not project.persons
    assert project.bot_events[*HERE, "Product Viewed", "web", "(none)", "(none)"]["count"] == 1
    assert project.bot_products[*HERE, "p-1"]["views"] == 1
    assert project.totals["applied"] == 1


def test_country_and_device_are_dimensions() -> None:
    project = count_project(make_raw(context={"location": {"country": "DE"}, "device": {"type": "phone"}}))
    assert (*HERE, "$page", "web", "DE", "phone") in project.events
    assert (*HERE, "$page", "web", "(none)", "(none)") in count_project(make_raw(context={"location": "DE"})).events


def test_local_days_follow_the_clock_change() -> None:
    # 2026-10-25 has 25 hours in Berlin: from 22:00 UTC to 23:00 UTC the next day.
    project = count_project(
        make_raw(timestamp="2026-10-24T22:00:00Z", messageId="1"),
        make_raw(timestamp="2026-10-25T22:59:59Z", messageId="2"),
        make_raw(timestamp="2026-10-25T23:00:00Z", messageId="3"),
        zone="Europe/Berlin",
    )
    assert [numbers["count"] for cell, numbers in sorted(project.events.items()) if cell[0] == "day"] == [2, 1]


def test_truth_is_json() -> None:
    truth = find_truth([make_order(product_id="p-1", price=5), make_consumed(b"")])
    assert json.loads(json.dumps(truth.as_dict()))["projects"]["demo"]["totals"]["applied"] == 1
