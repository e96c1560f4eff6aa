"""Dead letters over HTTP: for administrators, of their own project."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from rtaplatform.catalog.keys.key_rows import KeyAccess
from tests.unit.feed.test_letter_search import make_dead_letter, search
from tests.unit.serve.parts_of_tests import Site

ADMIN = KeyAccess("demo", "prj_1", frozenset({"admin"}), "key_9")


def make_site(*letters: Any) -> Site:
    built = Site(letters=search(*letters))
    built.keys.accesses["admin"] = ADMIN
    return built


async def test_a_list_has_items_counts_and_a_cursor() -> None:
    of_letters = make_site(*(make_dead_letter(n) for n in range(3)), make_dead_letter(3, project="other"))
    first = (await of_letters.ask("GET", "/v1/dead-letters", key="admin", limit="2")).json
    assert [item["id"] for item in first["items"]] == ["rta.events.web:0:2", "rta.events.web:0:1"]
    assert (first["counts"], first["meta"]) == ({"unknown_type": 3}, {"scanned_from": None})
    second = (await of_letters.ask("GET", "/v1/dead-letters", key="admin", cursor=first["next_cursor"])).json
    assert ([item["id"] for item in second["items"]], second["next_cursor"]) == (["rta.events.web:0:0"], None)


@pytest.mark.parametrize(
    ("key", "changed"),
    [("admin", {"kind": "rejected"}), ("admin", {"reason": "too_large"}), ("admin", {"from": "-2h"}), ("other", {})],
)
async def test_a_cursor_holds_for_its_list(key: str, changed: dict[str, str]) -> None:
    site = make_site(*(make_dead_letter(n) for n in range(3)))
    site.keys.accesses["other"] = KeyAccess("other", "prj_2", frozenset({"admin"}), "key_8")
    cursor = (await site.ask("GET", "/v1/dead-letters", key="admin", limit="1")).json["next_cursor"]
    assert (await site.ask("GET", "/v1/dead-letters", key="admin", cursor=cursor)).status == 200
    reply = await site.ask("GET", "/v1/dead-letters", key=key, cursor=cursor, **changed)
    assert (reply.status, reply.json["field"]) == (422, "cursor")
    assert reply.json["hint"].startswith("Begin without a cursor")


async def test_a_list_is_also_a_table_that_links_to_its_next_page() -> None:
    reply = await make_site(*(make_dead_letter(n) for n in range(3))).ask(
        "GET", "/v1/dead-letters", key="admin", limit="2", format="csv"
    )
    rows = list(csv.DictReader(io.StringIO(reply.body.decode(), newline="")))
    assert [(row["id"], row["reason"]) for row in rows] == [
        ("rta.events.web:0:2", "unknown_type"),
        ("rta.events.web:0:1", "unknown_type"),
    ]
    assert reply.headers["link"].endswith('; rel="next"')
    assert json.loads(reply.headers["rta-meta"]) == {"scanned_from": None, "counts": {"unknown_type": 3}}


async def test_a_period_that_ends_before_it_begins_is_refused() -> None:
    reply = await make_site(make_dead_letter(1)).ask(
        "GET", "/v1/dead-letters", key="admin", **{"from": "-1h", "to": "-2h"}
    )
    assert (reply.status, reply.json["field"]) == (422, "from")


async def test_one_letter_by_its_id() -> None:
    of_letters = make_site(make_dead_letter(1), make_dead_letter(2, project="other"))
    assert (await of_letters.ask("GET", "/v1/dead-letters/rta.events.web:0:1", key="admin")).json[
        "reason"
    ] == "unknown_type"
    absent = await of_letters.ask("GET", "/v1/dead-letters/rta.events.web:0:2", key="admin")
    assert (absent.status, absent.json["field"]) == (404, "id")


async def test_a_read_key_does_not_open_them() -> None:
    assert (await make_site().ask("GET", "/v1/dead-letters")).status == 403


@pytest.mark.parametrize(
    ("name", "value"),
    [("kind", "lost"), ("reason", "bad_luck"), ("limit", "0"), ("cursor", "x"), ("from", "soon"), ("colour", "red")],
)
async def test_wrong_parameters_are_named(name: str, value: str) -> None:
    reply = await make_site().ask("GET", "/v1/dead-letters", key="admin", **{name: value})
    assert (reply.status, reply.json["field"]) == (422, name)
