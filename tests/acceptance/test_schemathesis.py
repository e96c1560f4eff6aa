"""Every operation of the OpenAPI document against the running API, with Schemathesis, as each role: no failure.

    RTA_SCHEMATHESIS_EXAMPLES=500 ./rta test tests/acceptance/test_schemathesis.py     # the long run

All operations, all of Schemathesis' checks and one of our own (a key opens what its scopes say, nothing else), all
phases, with an admin, a read, a write and no key, side by side. Of the endless streams the first message is read. That
routes and document are equal is asserted here as well.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from litestar.routes import HTTPRoute

from rtaplatform.catalog.keys.key_format import SCOPES_BY_KIND
from rtaplatform.serve.app import create_app
from rtaplatform.serve.openapi.document import make_document
from tests import plain_http
from tests.acceptance.test_collect import Api, start_api
from tests.integration.catalog_stack import KEYS, prepare
from tests.integration.servers import Servers
from tests.unit.serve.parts_of_tests import Site

FOLDER = Path(__file__).parent
# Of random requests to each operation, beside the thousands that cover the document. The keys that open less hear 401
# or 403 to most of them, so that they try fewer in the short run.
EXAMPLES = os.environ.get("RTA_SCHEMATHESIS_EXAMPLES", "8")
EXAMPLES_OF_OTHERS = os.environ.get("RTA_SCHEMATHESIS_EXAMPLES", "2")
CASES_MIN = 10_000
ROLES = {"admin": KEYS.admin, "read": KEYS.read, "write": KEYS.write, "nobody": None}
# The page about the document, and the framework's own.
UNDOCUMENTED = {"/docs", "/docs/{path}", "/docs/openapi.json", "/docs/try.js"}
# The dashboard's pages and files.
PAGES = {"", "overview", "products", "engagement", "explore", "feed", "catalog", "settings", "wall", "assets"}


@dataclass(frozen=True)
class Run:
    """What Schemathesis said."""

    code: int
    output: str

    def read_number(self, pattern: str) -> int:
        match = re.search(pattern, self.output)
        assert match is not None, self.output
        return int(match[1].replace(",", ""))


@pytest.fixture
def api(servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    prepare(servers)
    # Thousands of requests without a key come from one address.
    monkeypatch.setenv("RTA_LIMITS_UNKNOWN_KEYS_PER_MINUTE", "0")
    for limit in ("PROJECTS_PER_HOUR", "PROJECTS_PER_HOUR_IN_ALL", "PROJECT_CHANGES_PER_HOUR"):
        monkeypatch.setenv(f"RTA_LIMITS_{limit}", "0")
    running = start_api(servers, tmp_path)
    yield running
    running.process.terminate()
    running.process.wait(timeout=15)


def test_every_operation_keeps_to_the_document_whoever_asks(api: Api, tmp_path: Path) -> None:
    document = tmp_path / "openapi.json"
    document.write_bytes(plain_http.get(f"{api.url}/openapi.json", timeout=30).content)
    with ThreadPoolExecutor(len(ROLES)) as pool:
        runs = dict(zip(ROLES, pool.map(lambda role: run_as(role, api.url, tmp_path), ROLES), strict=True))
    assert {role: run.code for role, run in runs.items()} == dict.fromkeys(ROLES, 0), "\n".join(
        run.output[-20_000:] for run in runs.values() if run.code
    )
    operations = sum(len(item) for item in json.loads(document.read_bytes())["paths"].values())
    assert {role: run.read_number(r"Tested: (\d+)") for role, run in runs.items()} == dict.fromkeys(ROLES, operations)
    assert sum(run.read_number(r"([\d,]+) generated") for run in runs.values()) >= CASES_MIN
    assert "returned only 401/403" not in runs["admin"].output


def run_as(role: str, url: str, folder: Path) -> Run:
    """All operations with the role's key, by a file: the address of a document itself is left out by Schemathesis."""
    key = ROLES[role]
    headers = ("--header", f"Authorization: Bearer {key}") if key else ()
    command = [
        sys.executable, "-m", "schemathesis.cli", "--config-file", str(FOLDER / "schemathesis.toml"),
        "run", str(folder / "openapi.json"), "--url", url, *headers,
        "--max-examples", EXAMPLES if role == "admin" else EXAMPLES_OF_OTHERS, "--seed", "1",
        "--request-timeout", "20", "--continue-on-failure",
    ]  # fmt: skip
    environment = {
        **os.environ,
        "PYTHONPATH": str(FOLDER),
        "RTA_TEST_KEY_IDS": ",".join(f"key_demo_{kind}" for kind in SCOPES_BY_KIND),
        "RTA_TEST_KEY": key or "",
        "RTA_TEST_SCOPES": ",".join(SCOPES_BY_KIND.get(role, ())),
    }
    own = folder / role
    own.mkdir()
    process = subprocess.run(
        command, env=environment, cwd=own, capture_output=True, text=True, check=False, timeout=3_000
    )
    return Run(process.returncode, process.stdout + process.stderr)


def test_routes_and_document_are_equal() -> None:
    app = create_app(Site().parts)
    served = {
        (method, route.path_format)
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for method in route.route_handler_map
        if method != "OPTIONS" and route.path_format not in UNDOCUMENTED
    }
    documented = {(method.upper(), path) for path, item in make_document(app)["paths"].items() for method in item}
    pages = {(method, path) for method, path in served if path.split("/")[1] in PAGES}
    assert served - pages == documented


def test_every_body_has_its_schema() -> None:
    document = make_document(create_app(Site().parts))
    bodiless = {
        ("post", path)
        for path in ("/v1/live/tickets", "/v1/session/codes", "/flags", "/decide", "/v1/dead-letters/{id}/replay")
    }
    without = [
        (method, path)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in ("post", "put", "patch") and not operation.get("requestBody", {}).get("content")
    ]
    assert set(without) == bodiless
