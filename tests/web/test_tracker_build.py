"""`rta.js` is what its sources say: strict types, tests of its pure parts, and a rebuild that gives the same bytes.

The pain: a committed build that was forty commits older than its sources, and nobody saw.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from rtaplatform.serve.collect.page_routes import read_tracker

SOURCES = Path(__file__).resolve().parents[2] / "web" / "tracker"


def run(*command: str | Path, folder: Path) -> str:
    process = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources, with exactly what the lock names; nothing that it installs runs a script."""
    copy = tmp_path_factory.mktemp("web") / "tracker"
    shutil.copytree(SOURCES, copy, ignore=shutil.ignore_patterns("node_modules"))
    run("npm", "ci", folder=copy)
    return copy


def test_the_committed_file_is_built_from_these_sources(folder: Path) -> None:
    built = folder / "built.js"
    run("node", "build.mjs", built, folder=folder)
    assert built.read_bytes() == read_tracker().plain, "cd web/tracker && npm ci && npm run build"


def test_types_are_strict(folder: Path) -> None:
    run("npm", "run", "--silent", "types", folder=folder)


def test_the_pure_parts_do_what_they_promise(folder: Path) -> None:
    assert "# fail 0" in run("node", "--test", "--test-reporter=tap", folder=folder)


def test_the_lock_names_no_address_and_needs_nothing_at_run_time() -> None:
    lock = json.loads((SOURCES / "package-lock.json").read_text())
    packages = [package for path, package in lock["packages"].items() if path]
    assert packages
    assert all(package["dev"] and package["integrity"].startswith("sha512-") for package in packages)
    assert "://" not in "".join(str(package.get("resolved", "")) for package in packages)
    assert "dependencies" not in json.loads((SOURCES / "package.json").read_text())
