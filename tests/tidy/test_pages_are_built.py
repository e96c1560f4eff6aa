"""The dashboard's files are what the sources in `web/dashboard` give, small, and load nothing from elsewhere.

The pain: a committed bundle that was 41 commits older than its sources, and nobody saw; a page that grew by a library
with each feature. This runs without Node. tests/web builds the files again and compares each byte.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.tidy.sources import PACKAGE, ROOT

SOURCES = ROOT / "web" / "dashboard"
PAGES = PACKAGE / "serve" / "pages"
INPUTS = ("build.mjs", "index.html", "package-lock.json", "package.json", "tsconfig.json")
FIRST_LOAD_BYTES_MAX, ALL_BYTES_MAX = 110_000, 200_000
BUILD = "cd web/dashboard && npm ci && npm run build"
# Names of XML vocabularies, which nothing loads.
NAMESPACES = ("http://www.w3.org/2000/svg", "http://www.w3.org/1998/Math/MathML", "http://www.w3.org/1999/xhtml",
              "http://www.w3.org/1999/xlink")  # fmt: skip
ADDRESS = re.compile(r"(?:https?|wss?)://[^\s\"'`)<>\\]*")
# Begins with the page's own origin, or is a name that nobody can have.
OWN_EXAMPLES = re.compile(r"(?:https?|wss?)://(?:\$\{|$|[\w.-]+\.example(?:/|$))")


@pytest.fixture(scope="module")
def built() -> dict[str, Any]:
    report: dict[str, Any] = json.loads((PAGES / "built.json").read_text())
    return report


def _read_files() -> dict[str, bytes]:
    paths = [path for path in sorted(PAGES.rglob("*")) if path.is_file() and path.name != "built.json"]
    return {path.relative_to(PAGES).as_posix(): path.read_bytes() for path in paths}


def _read_texts() -> dict[str, str]:
    return {name: content.decode() for name, content in _read_files().items()}


def test_the_files_are_built_from_these_sources(built: dict[str, Any]) -> None:
    paths = [*(SOURCES / name for name in INPUTS), *(p for p in (SOURCES / "src").rglob("*") if p.is_file())]
    lines = hashlib.sha256()
    for name in sorted(path.relative_to(SOURCES).as_posix() for path in paths):
        lines.update(f"{name}\0{hashlib.sha256((SOURCES / name).read_bytes()).hexdigest()}\n".encode())
    assert built["inputs"] == lines.hexdigest(), BUILD


def test_the_report_names_each_file_and_its_content(built: dict[str, Any]) -> None:
    files = _read_files()
    assert set(built["files"]) == set(files), BUILD
    for name, content in files.items():
        assert built["files"][name]["sha256"] == hashlib.sha256(content).hexdigest(), name
        assert built["files"][name]["bytes"] == len(content), name


def test_the_first_load_and_all_files_are_small(built: dict[str, Any]) -> None:
    sizes = {name: len(gzip.compress(content, 9)) for name, content in _read_files().items()}
    assert sum(sizes[name] for name in built["first_load"]) < FIRST_LOAD_BYTES_MAX
    assert sum(sizes.values()) < ALL_BYTES_MAX


def test_no_file_names_a_place_elsewhere() -> None:
    elsewhere = {
        f"{name}: {address}"
        for name, text in _read_texts().items()
        for address in ADDRESS.findall(text)
        if not address.startswith(NAMESPACES) and not OWN_EXAMPLES.match(address)
    }
    assert elsewhere == set()


def test_the_shell_has_no_inline_script_or_style() -> None:
    shell = _read_texts()["index.html"]
    assert re.findall(r"<script(?![^>]*\bsrc=)[^>]*>", shell) == []
    assert re.findall(r"<style|\sstyle=|\son\w+=", shell) == []


def test_no_script_makes_code_or_markup_of_text() -> None:
    scripts = {name: text for name, text in _read_texts().items() if name.endswith(".js")}
    assert scripts
    makers = re.compile(
        r"\beval\(|new Function\(|\.outerHTML\s*=|insertAdjacentHTML|document\.write|dangerouslySetInnerHTML="
    )
    assert {f"{name}: {match}" for name, text in scripts.items() for match in makers.findall(text)} == set()


def test_the_lock_names_no_address_and_little_at_run_time() -> None:
    lock = json.loads((SOURCES / "package-lock.json").read_text())
    packages = {path: package for path, package in lock["packages"].items() if path}
    assert all(package["integrity"].startswith("sha512-") for package in packages.values())
    assert "://" not in "".join(str(package.get("resolved", "")) for package in packages.values())
    run_time = {Path(path).name for path, package in packages.items() if not package.get("dev")}
    assert run_time == {"preact", "signals", "signals-core"}
