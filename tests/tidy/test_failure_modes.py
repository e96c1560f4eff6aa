"""The page of failure modes is complete, and what it names is there.

The pain: a page promised that a failure was tested; the test had been renamed, then removed, and nobody knew.
"""

from __future__ import annotations

import re

from tests.tidy.sources import ROOT

PAGE = ROOT / "docs" / "explanation" / "failure-modes.md"
MODES = 28
ROW = re.compile(r"^\| F(\d+) \|(.*)\|(.*)\|(.*)\|$", re.MULTILINE)
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def test_no_mode_is_missing_and_each_says_what_shows_it() -> None:
    rows = {int(row[1]): row for row in ROW.finditer(PAGE.read_text())}
    assert sorted(rows) == list(range(1, MODES + 1))
    assert [f"F{number}" for number, row in sorted(rows.items()) if not NAMED.search(row[4])] == []


def test_each_named_test_is_there() -> None:
    named = NAMED.findall(PAGE.read_text())
    assert len(named) > MODES
    assert [f"{file}::{name}" for file, name in named if not _is_there(file, name)] == []


def _is_there(file: str, name: str) -> bool:
    path = ROOT / file
    return path.exists() and re.search(rf"^(async )?def {name}\(", path.read_text(), re.MULTILINE) is not None
