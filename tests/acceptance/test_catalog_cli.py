"""`rta catalog` and `rta keys` as a person runs them, against the API in its own process."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import plain_http
from tests.acceptance.test_collect import SOURCES, Api, start_api
from tests.integration.catalog_stack import KEYS, CatalogStack, prepare
from tests.integration.servers import Servers

ROWS = 2_500


@dataclass(frozen=True)
class Shell:
    """Runs `rta`, with the API and the servers in the environment or as options."""

    api: Api
    stack: CatalogStack
    folder: Path

    def run(self, *arguments: str, data: bytes | None = None) -> tuple[int, str, str]:
        command = [sys.executable, "-m", "rtaplatform.cli.main", *arguments]
        environment = {**os.environ, **self.stack.make_environment(), "PYTHONPATH": str(SOURCES), "RTA_KEY": KEYS.admin}
        process = subprocess.run(
            command, env=environment, cwd=self.folder, input=data, capture_output=True, check=False
        )
        return process.returncode, process.stdout.decode(), process.stderr.decode()

    def run_catalog(self, *arguments: str, data: bytes | None = None) -> tuple[int, str, str]:
        return self.run("catalog", *arguments, "--url", self.api.url, data=data)


@pytest.fixture(scope="module")
def shell(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    folder, stack = tmp_path_factory.mktemp("shell"), prepare(servers)
    api = start_api(servers, folder)
    yield Shell(api, stack, folder)
    api.process.terminate()
    api.process.wait(timeout=15)


def make_rows() -> list[dict[str, Any]]:
    return [{"id": f"p-{n}", "name": f"Boot {n}", "price": n / 4, "attributes": {"size": n % 50}} for n in range(ROWS)]


def test_keys_are_listed_with_headings_and_of_projects_that_exist(shell: Shell) -> None:
    code, output, _ = shell.run("keys", "list")
    assert code == 0
    assert output.splitlines()[0].split()[:3] == ["ID", "KEY", "STATE"]
    code, output, errors = shell.run("keys", "list", "--project", "nope")
    assert (code, output) == (2, "")
    assert "There is no project 'nope'" in errors


def test_a_key_that_would_be_over_is_not_made(shell: Shell) -> None:
    code, _, errors = shell.run("keys", "create", "old", "--kind", "read", "--expires", "2020-01-01")
    assert code == 2
    assert "in the past" in errors


def test_what_is_exported_is_what_was_imported(shell: Shell) -> None:
    file = shell.folder / "products.ndjson.gz"
    file.write_bytes(gzip.compress("\n".join(map(json.dumps, make_rows())).encode()))
    code, output, _ = shell.run_catalog("import", "products", str(file), "--json")
    assert (code, json.loads(output)["created"]) == (0, ROWS)
    assert shell.run_catalog("import", "products", str(file))[:2] == (
        0, f"0 created, 0 updated, {ROWS:,} unchanged, 0 failed\n",
    )  # fmt: skip
    code, output, _ = shell.run_catalog("export", "products")
    exported = [json.loads(line) for line in output.splitlines()]
    assert (code, sorted(product["id"] for product in exported)) == (0, sorted(row["id"] for row in make_rows()))
    by_id = {product["id"]: product for product in exported}
    assert all(by_id[row["id"]].items() >= row.items() for row in make_rows())


@pytest.mark.parametrize("name", ["again.ndjson", "again.csv", "again.csv.gz"])
def test_an_export_can_be_brought_in_again(shell: Shell, name: str) -> None:
    odd = [
        {
            "id": "u-'=1",
            "name": "=1+1",
            "email": "'@x",
            "traits": {"n": 1.5, "a": ["x", None]},
            "anonymous_ids": ["a b"],
        },
        {"id": "u;2", "name": 'Zoë "Z", 5" nail', "first_seen": "2026-01-01T00:00:00Z", "traits": {"plan": "=free"}},
    ]
    text = "\n".join(map(json.dumps, [*odd, *({"id": f"x-{n}", "name": f"N {n}"} for n in range(1_100))]))
    assert shell.run_catalog("import", "users", "-", "--format", "ndjson", data=text.encode())[0] == 0
    file = shell.folder / name
    file.write_text("")
    file.chmod(0o644)
    assert shell.run_catalog("export", "users", str(file), "--project", "demo")[0] == 0
    assert file.stat().st_mode & 0o777 == 0o600
    code, output, _ = shell.run_catalog("import", "users", str(file), "--json")
    counts = json.loads(output)
    assert (code, counts["created"], counts["updated"], counts["failed"]) == (0, 0, 0, 0)
    assert counts["unchanged"] >= 1_102


def test_the_project_is_told_or_demanded(shell: Shell) -> None:
    code, _, errors = shell.run_catalog("export", "users", "--project", "other")
    assert (code, "`demo`" in errors, "`other`" in errors) == (2, True, True)


def test_rows_that_are_refused_are_named(shell: Shell) -> None:
    text = b"id,email,traits.plan\nu-1,a@example.com,free\npopular,,\n,b@example.com,\n"
    code, output, errors = shell.run_catalog("import", "users", "-", "--format", "csv", data=text)
    assert (code, output) == (4, "2 created, 0 updated, 0 unchanged, 1 failed\n")
    assert "row 4" in errors
    assert "`id`" in errors
    text = "ID;Name;Price\np-9;Boot;4,50\n".encode("utf-16")
    code, output, errors = shell.run_catalog("import", "products", "-", "--format", "csv", data=text)
    assert (code, "row 2 (p-9)" in errors, "decimal comma" in errors, "4,50" in errors) == (4, True, True, True)


def test_what_cannot_be_done_says_what_to_do(shell: Shell) -> None:
    assert shell.run_catalog("import", "users", "nowhere.csv")[0] == 2
    assert shell.run_catalog("import", "users", "users.xlsx")[0] == 2
    code, _, errors = shell.run_catalog("export", "users", "--key", "rta_a_wrong")
    assert (code, "No key, or not a valid one." in errors) == (2, True)
    assert shell.run("catalog", "export", "users", "--url", "http://127.0.0.1:9")[0] == 3


def test_life_of_a_key_on_the_command_line(shell: Shell) -> None:
    code, output, _ = shell.run(
        "keys", "create", "nightly", "--scopes", "catalog:write,catalog:read", "--expires", "90d", "--json"
    )
    new_key = json.loads(output)
    assert (code, new_key["scopes"], new_key["expires_at"] is not None) == (0, ["catalog:read", "catalog:write"], True)
    own = {"Authorization": f"Bearer {new_key['key']}"}
    assert plain_http.get(f"{shell.api.url}/v1/products?limit=1", headers=own).status_code == 200
    assert plain_http.get(f"{shell.api.url}/v1/keys", headers=own).status_code == 403
    listed = json.loads(shell.run("keys", "list", "--json")[1])["items"]
    assert new_key["id"] in [key["id"] for key in listed]
    assert new_key["key"] not in shell.run("keys", "list")[1]
    assert shell.run("keys", "revoke", new_key["id"])[0] == 0
    assert shell.run("keys", "revoke", new_key["id"])[0] == 2
    shown = shell.run("keys", "list")[1].splitlines()
    assert shown[0].split()[:3] == ["ID", "KEY", "STATE"]
    assert all(line[: shown[0].index("KEY")].rstrip().count(" ") == 0 for line in shown)
    for command in (["list"], ["revoke", "key_x"]):
        code, output, errors = shell.run("keys", *command, "--project", "nowhere")
        assert (code, output, "'nowhere'" in errors) == (2, "", True)
    for wrong in (
        ["--kind", "read", "--expires", "2020-01-01"],
        ["--scopes", "root"],
        [],
        ["--kind", "read", "--expires", "soon"],
        ["--kind", "read", "--project", "x"],
    ):
        assert shell.run("keys", "create", "x", *wrong)[0] == 2, wrong
