"""Files and functions that one can take in.

The pain: in every codebase of this field the damage sits in one giant module and one giant function, and each line
that went there had a good reason. So the tail is cut: what is over the limit is listed, and only shrinks.
"""

from __future__ import annotations

import ast

from tests.tidy.sources import PACKAGE, files, name_of, ratchet, tree_of

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 50
LONG_FILES: dict[str, int] = {}
LONG_FUNCTIONS: dict[str, int] = {}
WITHOUT_DOCSTRING = {
    "tests/unit/analytics/answer/test_engine.py",
    "tests/unit/analytics/freshness/test_tracker.py",
    "tests/unit/analytics/ask/test_parse.py",
    "tests/unit/analytics/plan/test_tiling.py",
    "tests/unit/serve/query/test_live_http.py",
    "tests/unit/serve/query/test_metrics_http.py",
}
WITHOUT_README = set[str]()


def test_no_file_is_over_400_lines() -> None:
    sizes = {name_of(p): p.read_text().count("\n") for p in files(".py", ".lua", ".sh", ".ts")}
    assert ratchet({name: n for name, n in sizes.items() if n > FILE_LINES_MAX}, LONG_FILES) == []


def test_no_function_is_over_50_lines() -> None:
    sizes = {
        f"{name_of(path)}:{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in files(".py")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert ratchet({name: n for name, n in sizes.items() if n > FUNCTION_LINES_MAX}, LONG_FUNCTIONS) == []


def test_every_module_says_what_it_is() -> None:
    silent = {name_of(p) for p in files(".py") if p.read_text().strip() and not ast.get_docstring(tree_of(p))}
    assert sorted(silent - WITHOUT_DOCSTRING) == []
    assert sorted(WITHOUT_DOCSTRING - silent) == [], "no exception is needed any more: take it out"


def test_every_folder_of_the_package_has_a_readme() -> None:
    folders = {path.parent for path in PACKAGE.rglob("*/__init__.py") if path.parent.name != "versions"}
    without = {folder.name for folder in folders if not (folder / "README.md").exists()}
    assert without == WITHOUT_README
