"""The dashboard's pages are what their sources say: strict types, lint, tests of the pure parts, and the same bytes.

The pain: the same as of the tracker's build; and a linter that everybody skips because it is run by hand.
"""

from __future__ import annotations

from pathlib import Path

from tests.web.dashboard_copy import PAGES, run_in


def test_the_committed_pages_are_built_from_these_sources(dashboard: Path) -> None:
    built = dashboard / "built"
    run_in(dashboard, "node", "build.mjs", str(built))
    names = {path.relative_to(PAGES) for path in PAGES.rglob("*") if path.is_file()}
    assert {path.relative_to(built) for path in built.rglob("*") if path.is_file()} == names
    changed = [name for name in sorted(names) if (built / name).read_bytes() != (PAGES / name).read_bytes()]
    assert changed == [], "cd web/dashboard && npm ci && npm run build"


def test_types_of_the_pages_are_strict(dashboard: Path) -> None:
    run_in(dashboard, "npm", "run", "--silent", "types")


def test_the_linter_has_nothing_to_say(dashboard: Path) -> None:
    run_in(dashboard, "npx", "biome", "lint", "--error-on-warnings", "src", "test")


def test_the_pure_parts_of_the_pages_do_what_they_promise(dashboard: Path) -> None:
    assert "# fail 0" in run_in(dashboard, "npm", "test", "--silent")
