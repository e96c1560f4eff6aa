"""What a docstring names in backticks is in the code.

The pain: functions were renamed, and docstrings went on to name them as before. A reader searched for what is nowhere.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

from tests.tidy.sources import list_files, list_nodes, to_name

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
IN_BACKTICKS = re.compile(r"`([A-Za-z_]\w*)`")
# Names of other systems, and examples of values.
OF_OTHERS = frozenset(
    {"DE_ch", "EventSource", "GMT0", "PFADD", "PFMERGE", "collectTrack", "collectTrackAtV1T", "localtime"}
)


def test_a_docstring_names_what_is_in_the_code() -> None:
    names = OF_OTHERS.union(*(_list_names(path) for path in list_files(".py", below="src/rtaplatform")))
    unknown = [
        f"{to_name(path)}: `{name}`"
        for path in list_files(".py", below="src/rtaplatform")
        for text in _list_docstrings(path)
        for name in IN_BACKTICKS.findall(text)
        if name not in names
    ]
    assert unknown == []


def test_each_listed_name_stands_in_a_docstring() -> None:
    texts = [text for path in list_files(".py", below="src/rtaplatform") for text in _list_docstrings(path)]
    assert sorted(OF_OTHERS - {name for text in texts for name in IN_BACKTICKS.findall(text)}) == []


def _list_docstrings(path: Path) -> list[str]:
    return [ast.get_docstring(node) or "" for node in list_nodes(path) if isinstance(node, Documented)]


@cache
def _list_names(path: Path) -> frozenset[str]:
    """All identifiers of a module, and the words of its other texts: fields of JSON, options, names of signals."""
    names: set[str] = set()
    for node in list_nodes(path):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name) | ast.alias(name=name):
                names.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.keyword(arg=str(name)):
                names.add(name)
    firsts = [node.body[0] for node in list_nodes(path) if isinstance(node, Documented) and node.body]
    docstrings = {id(first.value) for first in firsts if isinstance(first, ast.Expr)}
    constants = [node for node in list_nodes(path) if isinstance(node, ast.Constant) and id(node) not in docstrings]
    texts = [node.value for node in constants if isinstance(node.value, str)]
    return frozenset(names.union(*(re.findall(r"\w+", text) for text in texts)))
