"""Folders and names by which one finds the way.

The pain: twenty siblings in a folder whose names sort into no groups; five classes named `Record`, so that neither a
stack trace nor a search told them apart; a table of files that still named what had moved a month ago.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

from tests.tidy.sources import PACKAGE, list_files, list_nodes, parse_tree, to_name

MODULES_MAX = 14
TOP = {"__init__.py", "settings.py", "telemetry.py"}
NAMES_OF_A_ROW = re.compile(r"`((?:[\w-]+/)*(?:[\w-]+\.(?:py|lua)|[\w-]+/))`|\[([\w-]+/)\]\(")
# Its table lists commands, not files.
WITHOUT_TABLE = {"bench"}
# The dashboard's built files; `built.json` among them lists them.
BUILT_FILES = "pages"
CAMEL_CASE = re.compile(r"[A-Z][A-Za-z]*[a-z][A-Za-z]*")


def _list_folders() -> list[Path]:
    """Folders of the package that hold modules; `migrations/versions` is a list that only grows."""
    folders = {path.parent for path in PACKAGE.rglob("*.py")} - {PACKAGE}
    return sorted(folder for folder in folders if folder.name != "versions")


def _list_contents(folder: Path) -> set[str]:
    """Modules and folders below it; a folder without modules is part of it, as `functions/` with its Lua."""
    modules = {path.name for path in folder.glob("*.py") if path.name != "__init__.py"}
    below = {path for path in folder.iterdir() if path.is_dir() and path.name not in ("__pycache__", BUILT_FILES)}
    flat = {path for path in below if not list(path.glob("*.py"))}
    return (
        modules
        | {f"{path.name}/" for path in below - flat}
        | {f"{p.parent.name}/{p.name}" for f in flat for p in f.iterdir()}
    )


def _list_named(folder: Path) -> list[str]:
    rows = [line.split("|")[1] for line in (folder / "README.md").read_text().splitlines() if line.startswith("| ")]
    return [name or link for row in rows for name, link in NAMES_OF_A_ROW.findall(row)]


def test_class_names_are_unique_in_the_package() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path in list_files(".py", below="src"):
        for node in list_nodes(path):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(to_name(path))
        for name in _list_aliases(parse_tree(path)):
            places[name].append(to_name(path))
    assert {name for name, owners in places.items() if len(owners) > 1} == set()


def _list_aliases(tree: ast.Module) -> list[str]:
    """The names of types that a module gives by assignment, as in `Sums = Mapping[RowKey, int]`."""
    targets = [t for node in tree.body if isinstance(node, ast.Assign) for t in node.targets]
    return [t.id for t in targets if isinstance(t, ast.Name) and CAMEL_CASE.fullmatch(t.id)]


def test_no_folder_has_over_14_modules() -> None:
    sizes = {
        to_name(folder): len([p for p in folder.glob("*.py") if p.name != "__init__.py"]) for folder in _list_folders()
    }
    assert {name: size for name, size in sizes.items() if size > MODULES_MAX} == {}


def test_the_top_of_the_package_is_settings_and_telemetry() -> None:
    assert {path.name for path in PACKAGE.glob("*.py")} == TOP


@pytest.mark.parametrize("folder", _list_folders(), ids=lambda folder: folder.relative_to(PACKAGE).as_posix())
def test_the_table_of_a_readme_is_its_folder(folder: Path) -> None:
    named = _list_named(folder)
    if folder.name in WITHOUT_TABLE:
        return
    assert sorted(named) == sorted(set(named)), "a file is named twice"
    assert set(named) == _list_contents(folder)
