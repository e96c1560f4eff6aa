"""Who may import whom.

The pain: a planner that imported the Redis client could only be tested on Redis; an oracle that shared the worker's
parser agreed with its bugs; a module that read the environment at import made tests depend on each other's order.
"""

from __future__ import annotations

import ast
import sys

from tests.tidy.sources import PACKAGE, list_files, list_imports, list_nodes, list_our_imports, to_name

CATALOG_ROWS = {
    "catalog.entities.bulk",
    "catalog.imports.csv_header",
    "catalog.entities.fields",
    "catalog.keys.key_admin",
    "catalog.keys.key_format",
    "catalog.keys.key_rows",
    "catalog.entities.entity_types",
    "catalog.entities.pages",
    "catalog.projects.project_admin",
    "catalog.entities.entity_rows",
    "catalog.imports.table_files",
    "catalog.entities.etags",
}
# A folder may import itself, `core`, and what stands here. `x.port` is a port; `x` is all of x.
MAY_IMPORT: dict[str, set[str]] = {
    "core": set(),
    "client": set(),
    "collect": {"telemetry"},
    "stream": {"settings", "telemetry"},
    "process": {"stream.port", "store.port", "telemetry"},
    "store": {"settings", "telemetry"},
    "analytics": {"store.port", "telemetry"},
    # Analytics, collecting and the catalog's rows have one implementation each, hence no port: they are called.
    "serve": {"analytics", "collect", "feed", *CATALOG_ROWS, "profiles.erasure_receipt", "settings", "telemetry"},
    # The feed shows events as the workers read them: with their decoder.
    "feed": {"stream.port", "process.decode", "telemetry"},
    # Profiles are made of events, judged as the workers judge them: by the log's words and the reader of records.
    "profiles": {
        "stream.port",
        "process.decode.fast",
        "catalog.entities",
        "catalog.stored_json",
        "catalog.tables",
        "telemetry",
    },
    "catalog": {"settings", "telemetry"},
    # History is judged by the collector's own steps.
    "history": {"collect", "telemetry"},
    # Use cases of an operator put parts together by hand, as wiring does.
    "operate": {
        "catalog",
        "collect",
        "history",
        "process",
        "settings",
        "simulate",
        "store",
        "stream",
        "telemetry",
        "wiring",
    },
    "simulate": {"simulate.progress", "settings", "telemetry"},
    # A benchmark puts the parts together as it wants to measure them: it may name anything.
    "bench": {
        "analytics",
        "catalog",
        "collect",
        "local",
        "operate.operations",
        "process",
        "serve",
        "settings",
        "simulate",
        "store",
        "stream",
        "telemetry",
        "wiring",
    },
    "local": {"settings", "telemetry", "wiring"},
    "wiring": {
        "analytics",
        "catalog",
        "collect",
        "feed",
        "process",
        "profiles",
        "serve",
        "settings",
        "store",
        "stream",
    },
    "cli": {
        "bench",
        "feed",
        "local",
        "simulate.progress",
        "simulate",
        "settings",
        "telemetry",
        "wiring",
        "operate.operations",
        "operate.rebuild_run",
        "operate.server_checks",
        "operate.project_operations",
        "operate.reconcile",
        "operate.import_run",
    },
}
# Today's exceptions: (module, what it imports). None may be added; take out what is no longer needed.
EXCEPTIONS = {
    ("profiles/erasure", "catalog.database"),  # profiles are rows of the catalog's database, in its transactions
    ("profiles/profile_worker", "catalog.database"),
    ("simulate/sender", "stream.kafka.config"),  # the simulator is a producer of its own, with our producers' settings
    ("simulate/sent_truth", "stream.kafka.config"),
    ("local/data/data_dir", "catalog.keys.key_format"),  # the demo keys are made before the catalog runs
    ("cli/commands/keys", "catalog.database"),  # one statement each; no worker or API is put together
    ("cli/commands/keys", "catalog.keys.key_format"),
    ("cli/commands/keys", "catalog.keys.operator_keys"),
    ("cli/commands/keys", "catalog.keys.key_admin"),
    ("cli/commands/api", "serve.app"),  # the application is made inside the server's own start
}
ADAPTERS = {
    "stream.kafka.broker",
    "stream.kafka.group_consumer",
    "stream.kafka.consumer",
    "stream.kafka.control_log",
    "stream.kafka.dead_letters",
    "stream.kafka.group_offsets",
    "stream.kafka.config",
    "stream.memory",
    "stream.kafka.partition_reader",
    "stream.kafka.record_tail",
    "store.redis.redis_store",
    "store.redis.redis_ends",
    "store.redis.redis_generations",
    "store.redis.redis_reader",
    "store.memory.memory_store",
    "store.memory.memory_ends",
    "catalog.database",
}
WIRING = {
    "wiring.api",
    "wiring.api_parts",
    "wiring.feed",
    "wiring.profiles",
    "wiring.worker",
    "operate.operations",
    "operate.import_run",
    "operate.rebuild_run",
    "operate.server_checks",
    "operate.project_operations",
    "operate.reconcile.live_totals",
    "operate.reconcile.log_in_order",
    "operate.reconcile.set_aside_records",
    "operate.reconcile.reconcile_run",
}  # what runs, and what an operator does by hand
MAY_IMPORT_WIRING = {"bench", "cli", "local", "operate", "wiring"}
CORE_LIBRARIES = {"numpy", "msgspec", "xxhash"}
IO_LIBRARIES = {
    "asyncio", "concurrent", "fcntl", "ftplib", "http", "logging", "mmap", "multiprocessing", "os", "pathlib", "pickle",
    "select", "selectors", "shutil", "signal", "socket", "socketserver", "sqlite3", "ssl", "subprocess", "tempfile",
    "threading", "time", "urllib",
}  # fmt: skip
ORACLE_SHARES_NOTHING_WITH = ("core", "process", "store", "stream")


def _is_allowed(folder: str, target: str) -> bool:
    own = {folder, "core", *MAY_IMPORT[folder]}
    return any(target == name or target.startswith(f"{name}.") for name in own)


def _list_forbidden() -> set[tuple[str, str]]:
    ours = [item for item in list_our_imports() if "/" in item.module]
    return {(m, t) for m, t in ours if t != "rtaplatform" and not _is_allowed(m.split("/")[0], t)}


def test_every_folder_has_its_rule() -> None:
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders == MAY_IMPORT.keys()


def test_a_stage_imports_core_and_ports_only() -> None:
    assert sorted(_list_forbidden() - EXCEPTIONS) == []


def test_no_exception_is_listed_without_need() -> None:
    assert sorted(EXCEPTIONS - _list_forbidden()) == []


def test_only_wiring_names_the_adapters_of_other_folders() -> None:
    named = {(m, t) for m, t in list_our_imports() if t in ADAPTERS and m.split("/")[0] != t.split(".")[0]}
    assert (
        sorted(
            (m, t)
            for m, t in named
            if m.replace("/", ".") not in WIRING and not m.startswith("bench/") and (m, t) not in EXCEPTIONS
        )
        == []
    )


def test_only_cli_local_and_tests_import_wiring() -> None:
    wrong = [m for m, t in list_our_imports() if t in WIRING and m.split("/")[0] not in MAY_IMPORT_WIRING]
    assert wrong == []


def test_core_imports_no_io() -> None:
    for path in list_files(".py", below="src/rtaplatform/core"):
        for item in list_imports(path):
            library = item.target.split(".")[0]
            assert library == "rtaplatform" or library in CORE_LIBRARIES | set(sys.stdlib_module_names), item
            assert library not in IO_LIBRARIES, item


def test_oracle_shares_no_code_with_the_workers() -> None:
    oracle = [item for item in list_our_imports() if item.module.startswith("simulate/oracle/oracle")]
    assert oracle
    assert [item for item in oracle if item.target.split(".")[0] in ORACLE_SHARES_NOTHING_WITH] == []


def test_nothing_reads_the_environment_at_import() -> None:
    wrong = []
    for path in list_files(".py", below="src"):
        functions = {
            id(inner)
            for node in list_nodes(path)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            for inner in ast.walk(node)
        }
        wrong += [
            f"{to_name(path)}:{node.lineno}"
            for node in list_nodes(path)
            if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv") and id(node) not in functions
        ]
    assert wrong == []
