"""`rta doctor`: check everything that `rta up` needs; each check says what to do where it fails."""

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

from rtaplatform.cli.connections import folder_of
from rtaplatform.core.errors import SetupError
from rtaplatform.local import datadir, jars, ports, postgres, valkey
from rtaplatform.local.cache import cache_folder
from rtaplatform.local.java import find_java
from rtaplatform.local.running import read_running
from rtaplatform.settings import LocalSettings

EXIT_MISSING = 3


@dataclass(frozen=True)
class Finding:
    """What one check found: a fact where it is ok, else the problem and its remedy."""

    name: str
    ok: bool
    fact: str
    remedy: str = ""


def command(
    data_dir: Annotated[Path | None, typer.Option(metavar="DIR", help="To check.  [default: .rta]")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the API to check.")] = 8000,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check everything that `rta up` needs. Exit code 3 where something is missing.

    Examples:

        rta doctor

        rta doctor --data-dir /srv/rta --port 9000 --json
    """
    findings = examine(folder_of(data_dir), port)
    ok = all(finding.ok for finding in findings)
    if as_json:
        print(json.dumps({"ok": ok, "checks": [asdict(finding) for finding in findings]}, indent=1))
    else:
        print("\n".join(map(_as_text, findings)))
    if not ok:
        raise typer.Exit(EXIT_MISSING)


def examine(folder: Path, port: int) -> list[Finding]:
    """Run all checks."""
    checks: dict[str, Callable[[], str]] = {
        "python": lambda: sys.version.split()[0],
        "system": _system,
        "java": lambda: find_java().banner,
        "kafka": _kafka,
        "valkey": lambda: _version(valkey.find_binary()),
        "postgres": lambda: _version(postgres.program("postgres")),
        "data directory": lambda: _data_directory(folder),
        "memory": _memory,
        "port": lambda: _port(folder, port),
    }
    return [_run(name, check) for name, check in checks.items()]


def _run(name: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, check())
    except SetupError as error:
        return Finding(name, False, error.problem, error.remedy)
    except (OSError, subprocess.SubprocessError) as error:
        return Finding(name, False, str(error), "See whether the installation is whole: remove .venv and start again.")


def _system() -> str:
    if sys.platform != "linux":
        raise SetupError(f"The embedded servers run on Linux, this is {sys.platform}.", "Use servers elsewhere.")
    return f"{os.uname().machine}, {os.cpu_count()} processors, {'root' if os.geteuid() == 0 else 'normal user'}"


def _kafka() -> str:
    settings = LocalSettings()
    missing = jars.missing_jars(cache_folder(settings.cache_dir))
    return f"{missing} jars to fetch at the first start" if missing else "all jars are here, with the right checksums"


def _version(program: Path) -> str:
    done = subprocess.run([str(program), "--version"], capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()


def _data_directory(folder: Path) -> str:
    running = read_running(folder)
    if running:
        return f"{folder}, in use by the instance at {running.url}"
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not os.access(existing, os.W_OK):
        raise SetupError(f"{existing} cannot be written to.", "Name another folder with --data-dir.")
    if folder.exists():
        datadir.require_ours(folder)
    datadir.require_disk(existing)
    return str(folder)


def _memory() -> str:
    datadir.require_memory()
    return f"{datadir.available_memory() / 1e6:.0f} MB available"


def _port(folder: Path, port: int) -> str:
    running = read_running(folder)
    if running and running.url.endswith(f":{port}"):
        return f"{port}, in use by our own instance"
    if port:
        ports.require_free(port)
    return f"{port} is free" if port else "any"


def _as_text(finding: Finding) -> str:
    line = f"{'ok    ' if finding.ok else 'FAILED'}  {finding.name}: {finding.fact}"
    return line if finding.ok else f"{line}\n          → {finding.remedy}"
