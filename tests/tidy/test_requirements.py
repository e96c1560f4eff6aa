"""The locks: exact versions, hashes, and nothing about where they came from.

The pain: a lock that named a mirror could be installed behind that mirror only; a line without a hash installs
whatever somebody has put there under the same version.
"""

from __future__ import annotations

import re

from tests.tidy.sources import ROOT

LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
REQUIREMENT = re.compile(
    r"[A-Za-z0-9._-]+(?:\[[a-z0-9,._-]+\])?==[A-Za-z0-9.+!]+(?: ; [^\\]+)?(?: --hash=sha256:[0-9a-f]{64})+"
)


def _join_lines(text: str) -> list[str]:
    joined = re.sub(r"\s*\\\n\s*", " ", text)
    return [line.strip() for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def test_every_requirement_is_a_version_with_hashes() -> None:
    assert LOCKS
    wrong = [f"{lock.name}: {line}" for lock in LOCKS for line in _join_lines(lock.read_text())
             if not REQUIREMENT.fullmatch(line)]  # fmt: skip
    assert wrong == []


def test_no_lock_holds_an_address() -> None:
    assert [lock.name for lock in LOCKS if "://" in lock.read_text() or "--index" in lock.read_text()] == []


def test_every_lock_has_its_source() -> None:
    assert {lock.stem for lock in LOCKS} == {path.stem for path in (ROOT / "requirements").glob("*.in")}


def test_every_wanted_library_says_why() -> None:
    requirements = [
        line for path in (ROOT / "requirements").glob("*.in") for line in path.read_text().splitlines() if line.strip()
    ]
    assert [line for line in requirements if not line.startswith(("#", "-r ")) and " # " not in line] == []
