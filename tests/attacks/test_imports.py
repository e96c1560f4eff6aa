"""Imports that are all work and no rows: kilobytes that are megabytes of lines once they are unzipped."""

from __future__ import annotations

import gzip
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.attacks.harm import expecting_no_harm
from tests.attacks.stack import ADMIN_KEY, Stack

IMPORTS = 40
CSV, NDJSON = "text/csv", "application/x-ndjson"
COLUMNS = ",".join(["id", *(f"attributes.{number}" for number in range(150))])
BODIES = {
    "blank lines": (CSV, b"id\n" + b"\n" * 4_000_000),
    "a row a letter": (CSV, b"id,name\n" + b"x\n" * 150_000),
    "no JSON": (NDJSON, b"x\n" * 150_000),
    "one object a row": (NDJSON, b"{}\n" * 100_000),
    "quotes opened again and again": (CSV, f"{COLUMNS}\n".encode() + b'x",y,"z\n' * 50_000),
    "cells of line breaks": (CSV, b"id,name\n" + b'p,"' + b"\n" * 500_000),
    "lists within lists": (NDJSON, (b'{"id":"p","attributes":{"a":' + b"[" * 20_000 + b"]" * 20_000 + b"}}\n") * 40),
    "long lists": (NDJSON, (b'{"id":"p","attributes":{"a":[' + b"0," * 30_000 + b"0]}}\n") * 40),
}


@pytest.mark.parametrize("name", BODIES)
def test_an_import_lets_others_run_whatever_its_rows_are(stack: Stack, name: str) -> None:
    media, body = BODIES[name]
    headers = {"Content-Type": media, "Content-Encoding": "gzip"}
    with expecting_no_harm(stack):
        answer = stack.ask("POST", "/v1/products/import", ADMIN_KEY, content=gzip.compress(body), headers=headers)
    assert answer.status_code in (200, 400), answer.text
    assert len(answer.content) < 100_000
    if answer.status_code == 200:
        report = answer.json()
        assert (report["created"], len(report["errors"])) == (0, min(report["failed"], 100))


def test_many_imports_at_once_let_others_run(stack: Stack) -> None:
    """Their turns are short enough that all of them together hold nobody up."""
    body = gzip.compress(b"id,name\n" + b"x\n" * 2_000)
    headers = {"Content-Type": CSV, "Content-Encoding": "gzip"}

    def bring_in(_: int) -> int:
        path = "/v1/products/import"
        return stack.ask("POST", path, ADMIN_KEY, content=body, headers=headers).status_code

    with expecting_no_harm(stack), ThreadPoolExecutor(IMPORTS) as clients:
        assert set(clients.map(bring_in, range(IMPORTS))) == {200}
