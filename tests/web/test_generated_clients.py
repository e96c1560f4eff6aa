"""Clients that generators make of the OpenAPI document type-check, and so do programs that use them.

The pain: a document which is valid, and of which a generator made nothing: names that began with the path, types named
after where they stood, and operations left out with a warning that nobody read.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rtaplatform.serve.app import create_app
from rtaplatform.serve.openapi.document import encode_document
from tests.unit.serve.parts_of_tests import Site

ROOT = Path(__file__).resolve().parents[2]
SOURCES = Path(__file__).parent / "clients"
# The generator for Python makes calls with JSON and forms, and leaves out others.
WITHOUT_JSON = {"POST /v1/products/import", "POST /v1/users/import"}


def run(*command: str | Path, folder: Path) -> str:
    process = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=600)
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout + process.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs and the document. Types of a half of the API would be a part of these."""
    copy = tmp_path_factory.mktemp("web") / "clients"
    shutil.copytree(SOURCES, copy, ignore=shutil.ignore_patterns("node_modules"))
    (copy / "openapi.json").write_bytes(encode_document(create_app(Site().parts)))
    return copy


def test_typescript_clients_type_check(folder: Path) -> None:
    run("npm", "ci", folder=folder)
    run("npx", "openapi-typescript", "openapi.json", "-o", "types.d.ts", folder=folder)
    run("npx", "openapi-ts", "-i", "openapi.json", "-o", "client", "--no-log-file", folder=folder)
    run("npx", "tsc", folder=folder)


def test_python_client_type_checks(folder: Path) -> None:
    """Its packages are older than some of ours, so they have an environment of their own."""
    python = folder / "environment" / "bin" / "python"
    run(sys.executable, "-m", "venv", "environment", folder=folder)
    lock = ROOT / "requirements" / "clients.txt"
    run(python, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", lock, folder=folder)
    output = run(
        python.with_name("openapi-python-client"), "generate", "--path", "openapi.json", "--meta", "none",
        "--output-path", "rta_client", "--config", "python.yaml", folder=folder,
    )  # fmt: skip
    warned = [line for line in output.splitlines() if line.startswith(("WARNING", "Unable"))]
    assert {line.split(" parsing ")[-1].split(" within ")[0] for line in warned} == WITHOUT_JSON, output
    # Generated code casts what needs no cast.
    strict = ("--strict", "--no-warn-redundant-casts", "--python-executable", python)
    run(sys.executable, "-m", "mypy", *strict, "with_python.py", "rta_client", folder=folder)
