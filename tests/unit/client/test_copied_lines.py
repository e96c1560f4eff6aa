"""The Python lines that the dashboard's Explore copies ask exactly the query that is shown.

The dashboard's own tests prove that it writes these lines; here the client's `Question` reads them.
"""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

import rtaplatform.client as client
from rtaplatform.client import Question

COPIES: list[Any] = json.loads((Path(__file__).parents[2] / "golden" / "python_lines.json").read_text())


@pytest.mark.parametrize("copy", COPIES, ids=lambda copy: str(copy["about"]))
def test_the_copied_question_is_the_query(copy: dict[str, Any]) -> None:
    tree = ast.parse("\n".join(copy["lines"]))
    assert _list_questions(tree) == [copy["query"]]


@pytest.mark.parametrize("copy", COPIES, ids=lambda copy: str(copy["about"]))
def test_the_copied_lines_import_what_the_client_has(copy: dict[str, Any]) -> None:
    tree = ast.parse("\n".join(copy["lines"]))
    imports = {node.module: node.names for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert [name.name for name in imports["rtaplatform.client"] if not hasattr(client, name.name)] == []


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
