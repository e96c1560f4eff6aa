"""Files, functions and classes that one can take in.

The pain: in every codebase of this field the damage sits in one giant module and one giant function, and each line
that went there had a good reason. So the tail is cut: what is over the limit is listed, and only shrinks.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.tidy.sources import PACKAGE, list_files, list_nodes, parse_tree, ratchet, to_name

FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef
MODULE_LINES_MAX = 300  # of the package
FILE_LINES_MAX = 400  # of tests, benchmarks, scripts
FUNCTION_LINES_MAX = 50
FIELDS_MAX = 12
METHODS_MAX = 15
LONG_FILES: dict[str, int] = {}
LONG_FUNCTIONS: dict[str, int] = {}
MANY_FIELDS = {
    # What is written down elsewhere and has as many: a document of the API, a profile of settings, a plan, an event.
    "AnswerUpdate": 14,  # the fields of an answer, and what a reader needs to merge it
    "Delta": 15,  # each kind of what one atomic call changes
    "LimitSettings": 18,  # one setting an allowance
    "Meta": 15,  # the `meta` of an answer: one flat JSON object, and msgspec has no fields of a part beside its own
    "Query": 13,  # the parameters of a question, and two that the API's own pages ask with
    "RequestContext": 13,  # each fact of a request by itself
    "OracleEvent": 14,  # the fields of an event that count
    "StrictFields": 13,  # the fields of a record that count
    "LenientFields": 13,  # the same
    "ProjectTruth": 13,  # what the oracle counts of a project
    "MemoryTotals": 13,  # each kind of what a generation holds
    "SimulationPlan": 14,  # what `rta simulate` is asked for
    # State of one long life.
    "Kafka": 14,  # paths, ports and sizes of an embedded server
    "LiveQuery": 16,  # a question, its versions and its listeners
    "Rebuild": 16,  # the worker's loop and the switch, which must be read together
    "Worker": 13,  # its ports, and the objects that its loop works with
    "RebuildRun": 16,  # what `rta rebuild` tells of its run
    "_Exchange": 13,  # a request and its answer under way
}
MANY_METHODS = {
    # Adapters: as many as the calls of their port and of their life cycle.
    "KafkaConsumer": 18,  # the calls of the log's port, and the life of an assignment: take, seek, pause, lose
    "MemoryStore": 31,  # the ports of worker, reader, rebuild and operator in one object, so that tests see one state
    "RedisStore": 28,  # the calls of the worker's port, and what operators and the start of a process ask
    # Caches and loops: few public methods over short private steps.
    "Engine": 16,  # one answer in short private steps
    "FreshnessTracker": 17,  # each question about freshness by itself, and the steps of a refresh
    "KeyCache": 18,  # one look-up in short steps: fresh, stale, guess, PostgreSQL away
    "LiveQuery": 17,  # listeners that come and go, and the steps of one computation
    "OpenBatch": 16,  # what a batch holds, what it needs, and the steps to its delta
    "PeopleBatch": 17,  # links, events, values and names of one batch: each step in a method
    "Positions": 19,  # how a ledger is taken over, compared and repaired: one step a method
    "ProductTables": 18,  # the table of each project: read, changed by notifications, dropped
    "ProductTotals": 19,  # buckets that come, change and go, and the questions about their sums
    "TimeOrderedLog": 19,  # the calls of the log's port, and the merging of partitions by time
    "UnitedSketches": 18,  # sketches that come, change and go, and their unions by row
    "WindowCache": 21,  # buckets that come, change and go, within limits of memory and age
}
WITHOUT_DOCSTRING = {
    "tests/unit/analytics/answer/test_engine.py",
    "tests/unit/analytics/freshness/test_tracker.py",
    "tests/unit/analytics/ask/test_parse.py",
    "tests/unit/analytics/plan/test_tiling.py",
    "tests/unit/serve/query/test_live_http.py",
    "tests/unit/serve/query/test_metrics_http.py",
}
WITHOUT_README = set[str]()


def test_no_module_is_over_300_lines_and_no_other_file_over_400() -> None:
    sizes = {path: path.read_text().count("\n") for path in list_files(".py", ".lua", ".sh", ".ts")}
    long = {to_name(p): n for p, n in sizes.items() if n > (MODULE_LINES_MAX if _is_ours(p) else FILE_LINES_MAX)}
    assert ratchet(long, LONG_FILES) == []


def _is_ours(path: Path) -> bool:
    return path.is_relative_to(PACKAGE)


def test_no_function_is_over_50_lines() -> None:
    sizes = {
        f"{to_name(path)}:{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in list_files(".py")
        for node in list_nodes(path)
        if isinstance(node, FUNCTIONS)
    }
    assert ratchet({name: n for name, n in sizes.items() if n > FUNCTION_LINES_MAX}, LONG_FUNCTIONS) == []


def test_no_class_has_over_12_fields() -> None:
    sizes = {node.name: len(_list_fields(node)) for node in _list_classes()}
    assert ratchet({name: n for name, n in sizes.items() if n > FIELDS_MAX}, MANY_FIELDS) == []


def test_no_class_has_over_15_methods() -> None:
    sizes = {node.name: sum(isinstance(inner, FUNCTIONS) for inner in node.body) for node in _list_classes()}
    assert ratchet({name: n for name, n in sizes.items() if n > METHODS_MAX}, MANY_METHODS) == []


def _list_classes() -> Iterator[ast.ClassDef]:
    """The package's; their names are unique (test_folders.py)."""
    for path in list_files(".py", below="src"):
        yield from (node for node in list_nodes(path) if isinstance(node, ast.ClassDef))


def _list_fields(node: ast.ClassDef) -> set[str]:
    """Those that the body declares, and those that a method sets on `self`."""
    declared = {
        inner.target.id
        for inner in node.body
        if isinstance(inner, ast.AnnAssign) and isinstance(inner.target, ast.Name)
    }
    return declared | {
        inner.attr
        for inner in ast.walk(node)
        if isinstance(inner, ast.Attribute)
        and isinstance(inner.ctx, ast.Store)
        and isinstance(inner.value, ast.Name)
        and inner.value.id == "self"
    }


def test_every_module_says_what_it_is() -> None:
    silent = {to_name(p) for p in list_files(".py") if p.read_text().strip() and not ast.get_docstring(parse_tree(p))}
    assert sorted(silent - WITHOUT_DOCSTRING) == []
    assert sorted(WITHOUT_DOCSTRING - silent) == [], "no exception is needed any more: take it out"


def test_every_folder_of_the_package_has_a_readme() -> None:
    folders = {path.parent for path in PACKAGE.rglob("*/__init__.py") if path.parent.name != "versions"}
    without = {folder.name for folder in folders if not (folder / "README.md").exists()}
    assert without == WITHOUT_README
