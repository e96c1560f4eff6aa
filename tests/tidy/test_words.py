"""Words that must not be in our files.

The pain: a note to do something later is a promise to nobody; a test that is skipped stays green while what it
guards breaks; a path of the author's machine works for the author; a variable called `found` holds nobody knows what.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.tidy.sources import list_files, list_named_files, list_nodes, ratchet, to_name

# Written so that this file does not find itself.
UNFINISHED = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
SKIPPED = re.compile(
    r"pytest\.(?:sk" + r"ip|xf" + r"ail|importor" + r"skip)|mark\.(?:sk" + r"ip|sk" + r"ipif|xf" + r"ail)"
)
MACHINE_PATH = re.compile(r"(?<![\w.}])/(?:home|Users|root|work|mnt|private|data\d*)/[\w.-]+")
# Names that do not tell what a variable holds.
_NAMELESS = """
all any asked begun both done each found given gone got held it kept known left made met none one rest said same seen
some such that them these this those told wanted which who
"""
NAMELESS = frozenset(_NAMELESS.split())
# The same in source and benchmarks: what was done to a thing is no name of it. Fields of classes are read behind the
# name of their object, so they may be participles (`summary.sent`), as JSON and signals are.
_NAMELESS_IN_SOURCE = """
abandoned added answered applied assigned bounded built capped changed charged chosen cleaned committed compiled
compressed condemned connected consumed counted covered decided declared decoded deleted denied described drawn dropped
encoded ended erased every everybody everything excluded existing expired failed fallen fixed folded following
forwarded framed growing had hashed isolated joined keyed lagging leftover limited linked listed lowered managed marked
masked matched merged mine missing mixed moved named needed nested noticed opened ours packed parsed passed paused
planned polled prepared pruned published quarantined raised reached received reclaimed refused rejected rejoined
released remaining removed rendered repeated replayed reported requested reserved resumed retained retired revoked
running scanned searched seated sent served settled several shown skipped sought spent started stated stopped stored
streamed subscribed taken theirs they tried trusted unacknowledged uncounted unerased united unread unsent unsought
used waiting weighted woken written
"""
NAMELESS_IN_SOURCE = NAMELESS | frozenset(_NAMELESS_IN_SOURCE.split())
NAMELESS_LISTED = {
    "src/rtaplatform/cli/commands/bench.py": 1,  # the name of an option
}
TEXTS = (".py", ".lua", ".md", ".toml", ".in", ".txt", ".sh", ".ts", ".tsx", ".yaml", ".yml", "")


def _find_lines(pattern: re.Pattern[str], paths: list[Path]) -> list[str]:
    return [
        f"{to_name(path)}:{number}: {line.strip()}"
        for path in paths
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if pattern.search(line)
    ]


def test_nothing_is_left_to_be_done_later() -> None:
    assert _find_lines(UNFINISHED, list_files(*TEXTS)) == []


def test_no_test_is_skipped() -> None:
    assert _find_lines(SKIPPED, list_files(".py", below="tests")) == []


def test_no_path_of_a_machine() -> None:
    assert _find_lines(MACHINE_PATH, list_files(*TEXTS)) == []


def test_no_variable_is_named_by_a_pronoun_or_a_participle() -> None:
    counts: dict[str, int] = {}
    for path in list_named_files():
        stored = [node.id for node in list_nodes(path) if isinstance(node, ast.Name) and _is_stored(node)]
        parameters = [node.arg for node in list_nodes(path) if isinstance(node, ast.arg)]
        if number := sum(name in NAMELESS for name in (*stored, *parameters)):
            counts[to_name(path)] = number
    assert ratchet(counts, NAMELESS_LISTED) == []


def test_no_variable_of_the_source_is_named_by_what_was_done_to_it() -> None:
    counts = {
        to_name(path): number
        for path in list_files(".py", below="src/rtaplatform") + list_files(".py", below="benchmarks")
        if (number := sum(name in NAMELESS_IN_SOURCE for name in _list_variables(path)))
    }
    assert ratchet(counts, NAMELESS_LISTED) == []


def _list_variables(path: Path) -> list[str]:
    """Variables, parameters and private attributes; no public fields of classes."""
    bodies = [node.body for node in list_nodes(path) if isinstance(node, ast.ClassDef)]
    fields = {id(node.target) for body in bodies for node in body if isinstance(node, ast.AnnAssign)}
    variables = []
    for node in list_nodes(path):
        match node:
            case ast.Name(id=name) if _is_stored(node) and id(node) not in fields:
                variables.append(name)
            case ast.arg(arg=name) | ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
                variables.append(name)
            case ast.Attribute(attr=name, ctx=ast.Store()) if name.startswith("_"):
                variables.append(name.lstrip("_"))
    return variables


def _is_stored(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Store)
