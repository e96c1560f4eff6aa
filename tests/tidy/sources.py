"""What the house rules look at: our files, their syntax trees, their imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "rtaplatform"
_FOLDERS = ("src", "tests", "docs", "benchmarks", "requirements", ".ci", "dashboard", "web")
_SKIPPED = {"__pycache__", "node_modules", "dist"}


def list_files(*suffixes: str, below: str = "") -> list[Path]:
    """Our text files with these endings (none named: all), in the checkout or below one folder of it."""
    roots = [ROOT / below] if below else [ROOT / folder for folder in _FOLDERS]
    paths = [path for root in roots for path in sorted(root.rglob("*")) if path.is_file()]
    if not below:
        paths += [path for path in sorted(ROOT.iterdir()) if path.is_file() and not path.name.startswith(".")]
    return [p for p in paths if not _SKIPPED & set(p.parts) and (not suffixes or p.suffix in suffixes)]


def list_named_files() -> list[Path]:
    """The modules whose names are checked (test_names.py, test_words.py)."""
    folders = ("src/rtaplatform", "benchmarks", "tests")
    return [path for folder in folders for path in list_files(".py", below=folder)]


def to_name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache  # of all: most rules look at every file, and a cache that is one too small has none of them
def parse_tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


@cache  # walking all files takes longer than reading them, and most rules do
def list_nodes(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(parse_tree(path)))


class Import(NamedTuple):
    """`folder/module` imports `target`, a dotted name; a name that is imported from a module is its last part."""

    module: str
    target: str


def list_imports(path: Path) -> Iterator[Import]:
    """All of them, also those within functions and for types only."""
    module = path.relative_to(PACKAGE).with_suffix("").as_posix()
    for node in list_nodes(path):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module, alias.name)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            for alias in node.names:
                yield Import(module, f"{node.module}.{alias.name}")


@cache
def list_our_imports() -> tuple[Import, ...]:
    """Imports between our modules; targets as `folder.module` or a module of the package itself."""
    return tuple(
        Import(item.module, _find_module(item.target.removeprefix("rtaplatform.").split(".")))
        for path in list_files(".py", below="src/rtaplatform")
        for item in list_imports(path)
        if item.target.startswith("rtaplatform.")
    )


def _find_module(parts: list[str]) -> str:
    """Without the name that is imported from the module."""
    lengths = [n for n in range(1, len(parts) + 1) if _is_module(parts[:n])]
    return ".".join(parts[: max(lengths)]) if lengths else "rtaplatform"


def _is_module(parts: list[str]) -> bool:
    path = PACKAGE.joinpath(*parts)
    return path.is_dir() or path.with_suffix(".py").is_file()


def ratchet(sizes: dict[str, int], listed: dict[str, int]) -> list[str]:
    """What is wrong: beyond its listed size, or listed without need."""
    grown = [f"{name}: {size}, listed {listed.get(name, 'nowhere')}" for name, size in sizes.items()
             if size > listed.get(name, 0)]  # fmt: skip
    return grown + [f"{name}: no exception is needed any more, take it out" for name in listed if name not in sizes]
