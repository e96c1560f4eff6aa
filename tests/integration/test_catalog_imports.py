"""Imports over HTTP on the real PostgreSQL: each row has its outcome, and many at once wait for each other."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import httpx

from tests.integration.catalog_site import read_problem

NDJSON, CSV = {"Content-Type": "application/x-ndjson"}, {"Content-Type": "text/csv; charset=utf-8"}


async def test_parallel_imports_of_the_same_rows_never_deadlock(client: httpx.AsyncClient) -> None:
    def rows(import_number: int) -> bytes:
        numbers = range(3_000) if import_number % 2 else range(2_999, -1, -1)
        lines = (json.dumps({"id": f"p-{n}", "attributes": {f"i{import_number}": n}}) for n in numbers)
        return "\n".join(lines).encode()

    answers = await asyncio.gather(
        *(client.post("/v1/products/import", content=rows(number), headers=NDJSON) for number in range(6))
    )
    reports = [answer.json() for answer in answers]
    assert [answer.status_code for answer in answers] == [200] * 6, reports
    assert sum(report["created"] for report in reports) == 3_000
    assert sum(report["updated"] for report in reports) == 15_000
    page = (await client.get("/v1/products?limit=500")).json()
    assert all(item["attributes"].keys() == {f"i{number}" for number in range(6)} for item in page["items"])


async def test_import_says_what_became_of_each_row(client: httpx.AsyncClient) -> None:
    await client.post("/v1/products", json={"id": "old", "name": "Old", "price": 1, "attributes": {"a": 1}})
    lines: list[Any] = [
        {"id": "new", "name": "New"}, {"id": "old", "price": 2, "attributes": {"b": 2}}, {"id": "old", "price": 2},
        {"id": "new", "brand": "B"}, {"id": "popular"}, {"name": "no id"}, {"id": "x", "price": "much"}, [1],
    ]  # fmt: skip
    body = "\n".join(json.dumps(line) for line in lines) + "\nnot json\n\n" + json.dumps({"id": "last"})
    answer = await client.post("/v1/products/import", content=body, headers=NDJSON)
    report = answer.json()
    assert answer.status_code == 200
    assert (report["created"], report["updated"], report["unchanged"], report["failed"]) == (2, 2, 1, 5)
    assert [(error["row"], error["field"]) for error in report["errors"]] == [
        (5, "id"), (6, "id"), (7, "price"), (8, None), (9, None),
    ]  # fmt: skip
    zipped = {**NDJSON, "Content-Encoding": "gzip"}
    again = (await client.post("/v1/products/import", content=gzip.compress(body.encode()), headers=zipped)).json()
    assert (again["created"], again["failed"], again["errors"]) == (0, 5, report["errors"])
    old = (await client.get("/v1/products/old")).json()
    assert (old["name"], old["price"], old["attributes"]) == ("Old", 2, {"a": 1, "b": 2})


async def test_import_of_csv(client: httpx.AsyncClient) -> None:
    rows = ['"p,1","Boot\n""tall""",12.50,red,active', "p-2,,,,", "p-3,x,dear,,", ""]
    text = "\r\n".join(["\ufeffid,name,price,attributes.color,status", *rows])
    answer = await client.post("/v1/products/import", content=text.encode(), headers=CSV)
    assert (answer.json()["created"], [error["row"] for error in answer.json()["errors"]]) == (2, [4])
    boot = (await client.get("/v1/products/p%2C1")).json()
    assert (boot["name"], boot["price"], boot["attributes"]) == ('Boot\n"tall"', 12.5, {"color": "red"})
    for wrong in (b"name\nx", b"id,nonsense\n1,2", b"id,id\n1,2", b"\n", b""):
        refused = await client.post("/v1/products/import", content=wrong, headers=CSV)
        assert read_problem(refused) == (400, "unreadable-body")
        assert "JSON of at most" not in refused.json()["hint"]
    latin = {"Content-Type": "text/csv; charset=iso-8859-1"}
    assert read_problem(await client.post("/v1/products/import", content=b"id\n1", headers=latin))[0] == 415
    assert (
        read_problem(await client.post("/v1/users/import", content=b"x", headers={"Content-Type": "text/xml"}))[0]
        == 415
    )


async def test_import_of_a_spreadsheet_says_what_is_wrong_with_a_row(client: httpx.AsyncClient) -> None:
    text = 'ID;Name;Price\r\np-1;5" nail;4.50\r\np-2;Boot;4,50\r\n"p-3;open;1\r\np-4;Shoe;1.299,00\r\np-5;Bag;7\r\n'
    report = (await client.post("/v1/products/import", content=text.encode("utf-16"), headers=CSV)).json()
    assert (report["created"], report["failed"]) == (2, 3)
    assert [(error["row"], error["id"], error["field"], error["value"]) for error in report["errors"]] == [
        (3, "p-2", "price", "4,50"), (4, '"p-3', None, '"p-3;open;1'), (5, "p-4", "price", "1.299,00"),
    ]  # fmt: skip
    assert "decimal comma" in report["errors"][0]["detail"]


async def test_more_lines_than_are_allowed_are_refused(client: httpx.AsyncClient) -> None:
    body = b"id\n" + b"\n" * 6_000
    refused = await client.post("/v1/products/import", content=body, headers=CSV)
    assert (read_problem(refused), "lines" in refused.json()["detail"]) == ((400, "unreadable-body"), True)
