"""A function is a verb phrase: its name says what it does, so that a call reads as a sentence.

The pain: `rows(plan)`, `said(entry)` and `_text(value)` stood beside variables of the same names. A reader had to open
each of them to see whether it read, planned, wrote or only looked something up.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.tidy.sources import list_files, list_named_files, list_nodes, parse_tree, to_name

Function = ast.FunctionDef | ast.AsyncFunctionDef
_LUA_FUNCTION = re.compile(r"\bfunction ([a-z_0-9]+)\(")

# The first words of our functions. A verb that is missing here belongs here; a noun does not.
_VERBS = """
abandon accept account act adapt add admit adopt advance align allow answer append apply arrive ask assign attach
attempt await begin blank blur bomb bound break bring browse build buy call carry catch change charge check choose
claim clean clear close coarsen collect combine commit compare complete compute configure connect continue convert copy
correct count cover create cut decide declare decode deflate delete deliver demote describe detect die diff differ
discard disconnect distribute divide do double downgrade draft drain draw drop dump empty encode end enqueue ensure
enter erase escape estimate evict examine exchange execute expect expire explain export extract fail fall feed fetch
fill filter find finish flatten flush fold follow forget format forward frame free freeze get give go grant group grow
guard handle hash hear hide hit hold identify ignore import increment init initialise insert install intern interpret
issue iterate join judge keep kill launch learn leave lengthen let limit link lint list listen live load lock log look
lose lower maintain make mark mask match measure meet mend merge migrate miss mix mount move multiply name nest
normalise normalize note notice notify observe offer open operate overflow overlap pace pack pad parse pass patch pause
peek place plan plant point poll post prepare prepend print probe produce provide prune publish pump purge push put
quarantine queue quote raise rank ratchet reach read rebalance rebuild recall receive reconcile record recount recreate
refresh refund refuse register rejoin relay release reload remember remove rename render renew repair repeat replace
replay reply report request require rescue resend reserve reset resize resolve restart restore resume retell retire
retry revoke ring roll rotate round run sample say scale scan search see seed seek select sell send serve set settle
shake share shorten show shrink shut sign simulate skip sort space spawn speed split spoil spread start stay step stop
store stream strip subscribe subtract sum summarise swap switch take tamper tear tell thaw thin think tick tile time
touch track translate trickle trim truncate trust try turn type unescape unite unmount unpack unsubscribe unzip update
upgrade upsert use validate vanish view visit wait wake walk warm watch weigh widen work wrap write zip
"""
# They answer yes or no: `is_ready`, `has_room`, `allows`, `wants_csv`.
_PREDICATES = """
accepts allows answers are begins can comes continues covers differs fits goes has includes is keeps leads lists lives
matches may must names needs overlaps passes refuses runs takes wants was
"""
# They return the same thing in another form (`as_text`, `to_bytes`, `from_row`), or a copy that differs in one respect
# (`with_defaults`, `without_bots`); or a library calls them (`_on_assign`).
FORMS = frozenset({"as", "to", "from", "with", "without", "on"})
VERBS, PREDICATES = frozenset(_VERBS.split()), frozenset(_PREDICATES.split())
# A function with such a decorator is a value, or a route: the operation's id names it.
VALUES = ("property", "cached_property", "functools.cached_property", "pytest.fixture")
# What Python and pytest call by its name, and tests, which are named for what they promise.
NAMED_BY_OTHERS = ("__", "pytest_", "test_")
ROUTES = ("get", "post", "put", "patch", "delete", "route", "asgi", "websocket")
LISTED = {
    "main": "what a process starts with",
    "_root": "what `rta` itself does, before a command",
    "command": "what a module of `cli/commands` is named for: one command each",
    "incr": "the `limits` library calls it",
    "connection_made": "asyncio calls it",
    "data_received": "asyncio calls it",
    "connection_lost": "asyncio calls it",
    "_init_shared_socket": "uvicorn calls it",
    "murmur2": "the name of a hash function",
    "_murmur64a": "the name of a hash function",
    "murmur64a": "the same, in its test",
    "hyperloglog": "the name of a sketch",
    "_tau": "a function of Ertl's estimator, named as in his paper",
    "_sigma": "a function of Ertl's estimator, named as in his paper",
    "live": "the Python client's word for a stream of answers, as `/v1/live` is the API's",
    "metrics": "the Python client's word for the list of metrics, as `/v1/metrics` is the API's",
    "unknown": "a constructor: the error of an unknown value",
    "before_load_schema": "Schemathesis calls it",
    "before_call": "Schemathesis calls it",
    "after_call": "Schemathesis calls it",
    "one_or_none": "SQLAlchemy's name, of a stand-in for its answer",
}


def test_a_function_is_a_verb_phrase() -> None:
    assert [f"{path}: {name}" for path, name, node in _list_functions() if not _is_verb_phrase(name, node)] == []


def test_a_function_of_lua_is_a_verb_phrase() -> None:
    names = list(_list_lua_functions())
    assert len(names) > 50
    assert [f"{path}: {name}" for path, name in names if not _begins_with_verb(name)] == []


def test_each_listed_name_is_in_use() -> None:
    names = {name for _, name, _ in _list_functions()} | {name for _, name in _list_lua_functions()}
    assert sorted(LISTED.keys() - names) == []
    words = {name.lstrip("_").split("_")[0] for name in names}
    assert sorted((VERBS | PREDICATES | FORMS) - words) == []


def _list_functions() -> Iterator[tuple[str, str, Function]]:
    """Path, name and node: functions of modules and methods. What is inside a function is not seen."""
    for path in list_named_files():
        tree = parse_tree(path)
        bodies = [tree.body, *(node.body for node in list_nodes(path) if isinstance(node, ast.ClassDef))]
        for body in bodies:
            for node in body:
                if isinstance(node, Function) and not node.name.startswith(NAMED_BY_OTHERS):
                    yield to_name(path), node.name, node


def _list_lua_functions() -> Iterator[tuple[str, str]]:
    """Path and name of what runs in Redis. Those that a process calls by name (`rta_apply_v6`) are registered apart."""
    for path in list_files(".lua"):
        yield from ((to_name(path), name) for name in _LUA_FUNCTION.findall(path.read_text()))


def _begins_with_verb(name: str) -> bool:
    first, *words_after = name.lstrip("_").split("_")
    return first in PREDICATES | FORMS or (first in VERBS and words_after[:1] != ["of"])


def _is_verb_phrase(name: str, node: Function) -> bool:
    first = name.lstrip("_").split("_")[0]
    decorators = [ast.unparse(decorator).split("(")[0] for decorator in node.decorator_list]
    if name in LISTED or any(d in VALUES or d.endswith(".setter") or d in ROUTES for d in decorators):
        return True
    if any(d.endswith("contextmanager") for d in decorators) and first.endswith("ing"):
        return True  # `with running_platform(…):`
    return _begins_with_verb(name)
