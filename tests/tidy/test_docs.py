"""Pages that lead somewhere.

The pain: the link to the one page that an operator needed at night ended nowhere, since the page had been moved;
a decision was found again only by making the same mistake.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.tidy.sources import ROOT, list_files, to_name

LINK = re.compile(r"\[[^\]\n]+\]\(([^)\s]+)\)")
DECISION_PARTS = ("Status", "Context", "Decision", "Consequences", "Alternatives", "Kept true by")
PAGES_OF_A_CHECKOUT = ("README.md", "ARCHITECTURE.md", "CHANGELOG.md", "SECURITY.md")
# A test or file that a decision names must be there: `tests/…`, or `test_name`.
NAMED_FILE = re.compile(r"`((?:tests|src|docs)/[\w./-]+)`")
NAMED_TEST = re.compile(r"`(test_\w+)`")
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))


def _strip_code(text: str) -> str:
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def _list_anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def _leads_somewhere(page: Path, link: str) -> bool:
    if "://" in link or link.startswith("mailto:"):
        return True
    place, _, anchor = link.partition("#")
    target = (page.parent / place).resolve() if place else page
    if not target.exists():
        return False
    return not anchor or anchor in _list_anchors(target)


def test_every_link_leads_somewhere() -> None:
    pages = list_files(".md")
    links = [(page, link) for page in pages for link in LINK.findall(_strip_code(page.read_text()))]
    assert [f"{to_name(page)}: {link}" for page, link in links if not _leads_somewhere(page, link)] == []


def test_every_page_is_reached_from_the_readme() -> None:
    reached, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        for link in LINK.findall(_strip_code(page.read_text())):
            target = (page.parent / link.partition("#")[0]).resolve()
            if target.suffix == ".md" and target.exists() and target not in reached:
                waiting.append(target)
    pages = {ROOT / name for name in PAGES_OF_A_CHECKOUT} | set(list_files(".md", below="docs"))
    assert sorted(to_name(page) for page in pages - reached) == []


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
def test_decision_has_its_six_parts_and_a_test(path: Path) -> None:
    text = path.read_text()
    assert re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", path.name)
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == list(DECISION_PARTS)
    assert len(text.splitlines()) <= 60, "a page"
    last_part = text.partition("## Kept true by")[2]
    assert NAMED_TEST.search(last_part) or NAMED_FILE.search(last_part), "name the test that fails if we stray"


def test_what_the_docs_name_is_there() -> None:
    tests = {name for p in list_files(".py", below="tests") for name in re.findall(r"def (test_\w+)", p.read_text())}
    modules = {path.stem for path in list_files(".py", below="tests")}
    wrong = []
    for page in [*list_files(".md", below="docs"), *(ROOT / name for name in PAGES_OF_A_CHECKOUT)]:
        text = page.read_text()
        wrong += [f"{to_name(page)}: {name}" for name in NAMED_FILE.findall(text) if not (ROOT / name).exists()]
        wrong += [f"{to_name(page)}: {name}" for name in NAMED_TEST.findall(text) if name not in tests | modules]
    assert wrong == []


def test_decisions_are_numbered_without_a_gap() -> None:
    assert [path.name[:4] for path in DECISIONS] == [f"{number:04}" for number in range(1, len(DECISIONS) + 1)]
