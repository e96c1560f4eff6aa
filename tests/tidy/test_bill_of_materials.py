"""The bill of materials lists what is installed.

The pain: one that was made by hand, and named versions that nobody had run for a year.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

import rtaplatform
from tests.tidy.bill_of_materials import PATH, list_locked_jars, list_locked_packages, write_bill_of_materials
from tests.tidy.sources import ROOT


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(PATH.read_text())
    return content


def test_it_lists_exactly_what_is_locked(document: dict[str, Any]) -> None:
    listed = {(part["purl"].partition(":")[2].partition("/")[0], part["name"], part["version"])
              for part in document["components"]}  # fmt: skip
    locked_packages = {("pypi", name, version) for name, version in list_locked_packages()}
    locked_packages |= {("maven", name, version) for _, name, version, _ in list_locked_jars()}
    assert listed == locked_packages, "./rta lock writes it anew"


def test_it_is_of_this_version_and_cyclonedx(document: dict[str, Any]) -> None:
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert document["metadata"]["component"]["version"] == rtaplatform.__version__


def test_it_is_made_the_same_again(document: dict[str, Any]) -> None:
    """But for licences, which are those of the packages that are installed here."""
    assert _without_licences(json.loads(write_bill_of_materials())) == _without_licences(document)


def _without_licences(document: dict[str, Any]) -> dict[str, Any]:
    parts = [{name: value for name, value in part.items() if name != "licenses"} for part in document["components"]]
    return document | {"components": parts}


def test_what_is_wanted_has_a_licence_that_is_stated(document: dict[str, Any]) -> None:
    lines = (ROOT / "requirements" / "runtime.in").read_text().splitlines()
    libraries = {line.split()[0].partition("[")[0] for line in lines if line[:1].isalnum()}
    without = {
        part["name"] for part in document["components"] if part["name"] in libraries and not part.get("licenses")
    }
    assert without == set()


def test_the_licence_is_here_whole() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
