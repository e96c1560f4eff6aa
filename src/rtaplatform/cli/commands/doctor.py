"""`rta doctor`: check everything that `rta up` needs. A check that fails says what to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from rtaplatform.cli.connections import Connections, JsonOption, KafkaOption, PostgresOption, RedisOption, find_folder
from rtaplatform.core.errors import SetupError
from rtaplatform.local.data import data_dir as datadir
from rtaplatform.local.data import ports
from rtaplatform.local.data.cache_folder import find_cache_folder
from rtaplatform.local.data.instance_file import read_running
from rtaplatform.local.servers import jars, postgres, valkey
from rtaplatform.local.servers.java import find_java
from rtaplatform.local.supervisor import open_files
from rtaplatform.settings import ApiSettings, LocalSettings

EXIT_MISSING = 3


@dataclass(frozen=True)
class CheckFinding:
    """The result of one check: a fact if it is ok, else the problem and its remedy."""

    name: str
    ok: bool
    fact: str
    remedy: str = ""


def command(
    data_dir: Annotated[Path | None, typer.Option(metavar="DIR", help="To check.  [default: .rta]")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Else RTA_API_PORT.  [default: 8000]")] = None,
    kafka: KafkaOption = None,
    redis: RedisOption = None,
    postgres: PostgresOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check everything that `rta up` needs, and every server that is given. Exit code 3 if something is missing.

    Examples:

        rta doctor

        rta doctor --data-dir /srv/rta --port 9000 --json

        rta doctor --kafka broker:9092 --redis redis://user:password@host:6379/0
    """
    api_port = ApiSettings().port if port is None else port
    findings = examine(find_folder(data_dir), api_port, Connections(kafka, redis, postgres))
    ok = all(finding.ok for finding in findings)
    if as_json:
        print(json.dumps({"ok": ok, "checks": [asdict(finding) for finding in findings]}, indent=1))
    else:
        print("\n".join(map(_as_text, findings)))
    if not ok:
        raise typer.Exit(EXIT_MISSING)


def examine(folder: Path, port: int, connections: Connections) -> list[CheckFinding]:
    """Run all checks. Raises SetupError if an address is not well-formed."""
    checks: dict[str, Callable[[], str]] = {
        "python": lambda: sys.version.split()[0],
        "system": _check_system,
        **_choose_checks(connections),
        "data directory": lambda: _check_data_directory(folder),
        "memory": _check_memory,
        "open files": _check_open_files,
        "port": lambda: _check_port(folder, port),
    }
    return [_run_check(name, check) for name, check in checks.items()]


def _choose_checks(connections: Connections) -> dict[str, Callable[[], str]]:
    """Checks of the given servers, and of the programs for those that are embedded."""
    checks: dict[str, Callable[[], str]] = {}
    if not connections.find_given_kafka():
        checks |= {"java": lambda: find_java().banner, "kafka": _count_jars}
    if not connections.find_given_redis():
        checks["valkey"] = lambda: _read_version(valkey.find_binary())
    if not connections.find_given_postgres():
        checks["postgres"] = lambda: _read_version(postgres.find_program("postgres"))
    return checks | _check_given_servers(connections)


def _check_given_servers(connections: Connections) -> dict[str, Callable[[], str]]:
    kafka, redis, database = (
        connections.find_given_kafka(),
        connections.find_given_redis(),
        connections.find_given_postgres(),
    )
    checks: dict[str, Callable[[], str]] = {}
    if not (kafka or redis or database):
        return checks
    from rtaplatform.operate.server_checks import check_kafka, check_postgres, check_redis

    if kafka:
        checks["kafka"] = lambda: check_kafka(connections.read_kafka_settings())
    if redis:
        checks["redis"] = lambda: check_redis(redis)
    if database:
        checks["postgres"] = lambda: check_postgres(database)
    return checks


def require_given(connections: Connections) -> None:
    """Raise SetupError if a given server cannot be used."""
    for check in _check_given_servers(connections).values():
        check()


def _check_open_files() -> str:
    limit = open_files.find_reachable_limit()
    open_files.require_enough(limit)
    return f"{limit} at once"


def _run_check(name: str, check: Callable[[], str]) -> CheckFinding:
    try:
        return CheckFinding(name, True, check())
    except SetupError as error:
        return CheckFinding(name, False, error.problem, error.remedy)
    except (OSError, subprocess.SubprocessError) as error:
        return CheckFinding(
            name, False, str(error), "See whether the installation is whole: remove .venv and start again."
        )


def _check_system() -> str:
    if sys.platform != "linux":
        raise SetupError(f"The embedded servers run on Linux, this is {sys.platform}.", "Use servers elsewhere.")
    return f"{os.uname().machine}, {os.cpu_count()} processors, {'root' if os.geteuid() == 0 else 'normal user'}"


def _count_jars() -> str:
    settings = LocalSettings()
    missing_jars = jars.count_missing_jars(find_cache_folder(settings.cache_dir))
    return (
        f"{missing_jars} jars to fetch at the first start"
        if missing_jars
        else "all jars are here, with the right checksums"
    )


def _read_version(program: Path) -> str:
    process = subprocess.run([str(program), "--version"], capture_output=True, text=True, timeout=10, check=True)
    return process.stdout.strip()


def _check_data_directory(folder: Path) -> str:
    instance = read_running(folder)
    if instance:
        return f"{folder}, in use by the instance at {instance.url}"
    parent_folder = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not os.access(parent_folder, os.W_OK):
        raise SetupError(f"{parent_folder} cannot be written to.", "Name another folder with --data-dir.")
    if folder.exists():
        datadir.require_ours(folder)
    datadir.require_disk(parent_folder)
    return str(folder)


def _check_memory() -> str:
    datadir.require_memory()
    return f"{datadir.measure_available_memory() / 1e6:.0f} MB available"


def _check_port(folder: Path, port: int) -> str:
    instance = read_running(folder)
    if instance and instance.url.endswith(f":{port}"):
        return f"{port}, in use by our own instance"
    if port:
        ports.require_free(port)
    return f"{port} is free" if port else "any"


def _as_text(finding: CheckFinding) -> str:
    line = f"{'ok    ' if finding.ok else 'FAILED'}  {finding.name}: {finding.fact}"
    return line if finding.ok else f"{line}\n          → {finding.remedy}"
