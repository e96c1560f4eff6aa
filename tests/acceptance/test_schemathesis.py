"""Every operation of the OpenAPI document against the running API, with Schemathesis: all checks, no failure.

    RTA_SCHEMATHESIS_EXAMPLES=500 ./rta test tests/acceptance/test_schemathesis.py     # the long run

Left out: the endless stream, and what answers no JSON. That routes and document are equal is asserted here as well.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from litestar.routes import HTTPRoute

from rtaplatform.serve.app import create_app
from rtaplatform.serve.openapi import document_of
from tests.acceptance.test_collect import Api, start_api
from tests.integration.catalog_stack import KEYS, prepare
from tests.integration.servers import Servers
from tests.unit.serve.parts_of_tests import Site

FOLDER = Path(__file__).parent
EXAMPLES = os.environ.get("RTA_SCHEMATHESIS_EXAMPLES", "15")
LEFT_OUT = r"^/(v1/live|metrics|docs.*)$"
UNDOCUMENTED = {"/openapi.json", "/docs", "/docs/{path}", "/docs/openapi.json"}


@pytest.fixture
def api(servers: Servers, tmp_path: Path) -> Iterator[Api]:
    prepare(servers)
    running = start_api(servers, tmp_path)
    yield running
    running.process.terminate()
    running.process.wait(timeout=15)


def test_every_operation_keeps_to_the_document(api: Api, tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "schemathesis.cli", "--config-file", str(FOLDER / "schemathesis.toml"),
        "run", f"{api.url}/openapi.json", "--header", f"Authorization: Bearer {KEYS.admin}",
        "--exclude-path-regex", LEFT_OUT, "--max-examples", EXAMPLES, "--seed", "1", "--request-timeout", "20",
        "--continue-on-failure",
    ]  # fmt: skip
    owned = ",".join(f"key_demo_{kind}" for kind in ("write", "read", "admin"))
    environment = {**os.environ, "RTA_TEST_KEY_IDS": owned, "PYTHONPATH": str(FOLDER)}
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:]
    tested = re.search(r"Tested: (\d+)", done.stdout)
    cases = re.search(r"(\d+) generated", done.stdout)
    assert tested is not None, done.stdout
    assert cases is not None, done.stdout
    assert int(tested[1]) > 40
    assert int(cases[1]) > 2_000
    assert "returned only 401/403" not in done.stdout


def test_routes_and_document_are_equal() -> None:
    app = create_app(Site().parts)
    served = {
        (method, route.path_format)
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for method in route.route_handler_map
        if method != "OPTIONS" and route.path_format not in UNDOCUMENTED
    }
    documented = {(method.upper(), path) for path, item in document_of(app)["paths"].items() for method in item}
    assert served == documented


def test_every_body_has_its_schema() -> None:
    document = document_of(create_app(Site().parts))
    bodiless = {("post", "/v1/live/tickets")}
    without = [
        (method, path)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in ("post", "put", "patch") and not operation.get("requestBody", {}).get("content")
    ]
    assert set(without) == bodiless
