"""The Python lines that people copy, from the dashboard's Explore and from the how-to, fit the client.

The dashboard's own tests prove that it writes these lines; here the client's `Question` reads them.
The pain: a page that calls a method by a name that it had once.
"""

from __future__ import annotations

import ast
import json
import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

import rtaplatform.client as client
from rtaplatform.client import Client, MetricAnswer, Question, ResultRow

TESTS = Path(__file__).parents[2]
COPIES: list[Any] = json.loads((TESTS / "golden" / "python_lines.json").read_text())
PAGE = (TESTS.parent / "docs" / "how-to" / "ask-from-python.md").read_text()
PAGE_LINES = "\n".join(re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE))


@pytest.mark.parametrize("copy", COPIES, ids=lambda copy: str(copy["about"]))
def test_the_copied_question_is_the_query(copy: dict[str, Any]) -> None:
    tree = ast.parse("\n".join(copy["lines"]))
    assert _list_questions(tree) == [copy["query"]]


@pytest.mark.parametrize("copy", COPIES, ids=lambda copy: str(copy["about"]))
def test_the_copied_lines_import_what_the_client_has(copy: dict[str, Any]) -> None:
    tree = ast.parse("\n".join(copy["lines"]))
    imports = {node.module: node.names for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert [name.name for name in imports["rtaplatform.client"] if not hasattr(client, name.name)] == []


@pytest.mark.parametrize("lines", [PAGE_LINES, *("\n".join(copy["lines"]) for copy in COPIES)])
def test_the_lines_use_what_the_client_and_its_answers_have(lines: str) -> None:
    tree = ast.parse(lines)
    kinds = _find_kinds(tree)
    assert set(kinds.values()) == {Client, MetricAnswer, ResultRow}, "the lines ask, and look at answers and rows"
    missing = [
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        if node.value.id in kinds and node.attr not in _list_attributes(kinds[node.value.id])
    ]
    assert missing == []


def test_the_questions_of_the_how_to_can_be_asked() -> None:
    assert {query["metric"] for query in _list_questions(ast.parse(PAGE_LINES))} == {"orders", "revenue", "online"}


@pytest.mark.parametrize(("name", "kind"), [("client", Client), ("answer", MetricAnswer)])
def test_the_words_of_the_how_to_name_what_the_client_has(name: str, kind: type[Any]) -> None:
    assert set(re.findall(rf"`{name}\.(\w+)", PAGE)) - _list_attributes(kind) == set()


def _find_kinds(tree: ast.Module) -> dict[str, type[Any]]:
    """Find what the names of the lines are: the client, answers of it, or rows of those."""
    kinds: dict[str, type[Any]] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[target], value=value) | ast.For(target=target, iter=value):
                kind = _find_kind(value)
                if kind is not None:
                    kinds |= {name.id: kind for name in ast.walk(target) if isinstance(name, ast.Name)}
    return kinds


def _find_kind(value: ast.expr) -> type[Any] | None:
    match value:
        case ast.Call(func=ast.Name(id="Client")):
            return Client
        case ast.Call(func=ast.Attribute(value=ast.Name(id="client"), attr="ask" | "live")):
            return MetricAnswer
        case ast.Attribute(attr="rows"):
            return ResultRow
    return None


def _list_attributes(kind: type[Any]) -> set[str]:
    """List the public ones, also fields without a default, which a class does not show."""
    members = {field.name for field in fields(kind)} if is_dataclass(kind) else set()
    return members | {name for name in dir(kind) if not name.startswith("_")}


def _list_questions(tree: ast.Module) -> list[dict[str, Any]]:
    """Build each question of the lines from its literals."""
    return [
        Question(
            *(ast.literal_eval(value) for value in call.args),
            **{str(part.arg): ast.literal_eval(part.value) for part in call.keywords},
        ).to_json()
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Question"
    ]
