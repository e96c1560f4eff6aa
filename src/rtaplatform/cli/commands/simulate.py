"""`rta simulate`: visitors of a demo shop, as records on Kafka.   Turns the options into a `SimulationPlan`."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import re
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rtaplatform.cli.connections import Connections, DataDirOption, KafkaOption
from rtaplatform.core.errors import SetupError

if TYPE_CHECKING:
    from rtaplatform.core.projects import ProjectSettings
    from rtaplatform.simulate.shop.plan import SimulationPlan

_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_USAGE = 2
_SHARE = {"min": 0.0, "max": 1.0}
DoubleReportsOption = Annotated[
    float, typer.Option(min=0, max=0.7, help="Share of orders that page and server both report.")
]


def command(
    rate: Annotated[float, typer.Option(min=0, help="Events per second; 0: as fast as possible.")] = 50.0,
    users: Annotated[int, typer.Option(min=1, help="Known users, u-1 to u-N.")] = 2_000,
    products: Annotated[int, typer.Option(min=2, help="Products, p-1 to p-N.")] = 200,
    sources: Annotated[str, typer.Option(help="Of web, ios, android, server.")] = "web,ios,android,server",
    duration: Annotated[str, typer.Option(help="60s, 10m, 2h, or none: until stopped.")] = "none",
    seed: Annotated[int, typer.Option(help="The same seed sends the same events.")] = 1,
    start: Annotated[str, typer.Option(help="Time of the run in ISO 8601; history ends there. Default: now.")] = "",
    late: Annotated[float, typer.Option(**_SHARE, help="Share sent minutes to hours late.")] = 0.03,
    duplicates: Annotated[float, typer.Option(**_SHARE, help="Share sent again.")] = 0.02,
    malformed: Annotated[float, typer.Option(**_SHARE, help="Share that is broken.")] = 0.01,
    double_reports: DoubleReportsOption = 0.1,
    backfill: Annotated[str, typer.Option(help="History of this length (7d) at full speed, then end.")] = "",
    events: Annotated[int, typer.Option(min=0, help="Stop after exactly this many records; 0: no such end.")] = 0,
    project: Annotated[str, typer.Option(help="The project the events belong to.")] = "demo",
    truth: Annotated[Path | None, typer.Option(help="Write the exact numbers of what was sent to this file.")] = None,
    kafka: KafkaOption = None,
    data_dir: DataDirOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Send the events of simulated visitors to Kafka.

    Examples:

        rta simulate --rate 50

        rta simulate --backfill 7d --rate 5 --truth truth.json

        rta simulate --rate 0 --events 1000000 --kafka localhost:9092
    """
    from rtaplatform.simulate.shop.plan import SimulationPlan

    plan = SimulationPlan(
        start_ms=_read_start_ms(start),
        project=project,
        rate=rate,
        users=users,
        products=products,
        sources=_read_sources(sources),
        seed=seed,
        late=late,
        duplicates=duplicates,
        malformed=malformed,
        double_reports=double_reports,
        duration_ms=None if duration == "none" else _read_duration_ms("--duration", duration),
        backfill_ms=_read_duration_ms("--backfill", backfill) if backfill else None,
        events_max=events or None,
    )
    _require_consistent(plan)
    _print_summary(_run(plan, Connections(kafka=kafka, data_dir=data_dir), truth), as_json)


def _run(plan: SimulationPlan, connections: Connections, truth: Path | None) -> dict[str, Any]:
    from rtaplatform.simulate.run import SimulationRun, simulate

    project = _require_project(connections, plan.project)
    # Thousands of visits are alive at once, without cycles. Searching for cycles would cost a third of the speed.
    gc.set_threshold(100_000, 50, 100)
    stopped = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    return simulate(SimulationRun(plan, connections.kafka_settings(), _say, stopped.is_set, project), truth)


def _require_project(connections: Connections, project: str) -> ProjectSettings | None:
    """Return the project; None if it cannot be looked up. Raise SetupError if there is none.

    All events of an unknown project would be dead letters. The simulator of `rta up` skips this check, because it has
    no access to PostgreSQL and sends to the demo project.
    """
    if os.environ.get("RTA_SUPERVISED"):
        return None
    try:
        catalog = connections.catalog_settings()
    except SetupError as error:
        if error.exit_code == _USAGE:
            raise
        _say(f"No PostgreSQL is known, so it is not checked whether there is a project {project!r}.")
        return None
    from rtaplatform.operate.project_operations import find_projects

    projects = asyncio.run(find_projects(catalog))
    if project not in projects:
        raise _usage_error(
            f"There is no project {project!r}.", f"There are: {', '.join(sorted(projects)[:20]) or 'none'}."
        )
    return projects[project]


def _require_consistent(plan: SimulationPlan) -> None:
    if plan.late + plan.duplicates + plan.malformed > 1:
        raise _usage_error("--late, --duplicates and --malformed add up to more than 1.", "Lower one of them.")
    if plan.backfill_ms is not None and plan.rate == 0:
        raise _usage_error("--backfill needs the average of events per second of history.", "Give --rate above 0.")


def _read_sources(text: str) -> tuple[str, ...]:
    from rtaplatform.simulate.shop.plan import SOURCES

    names = tuple(name.strip() for name in text.split(","))
    if not set(names) <= set(SOURCES):
        raise _usage_error(f"--sources {text} names an unknown source.", f"Known are {', '.join(SOURCES)}.")
    return tuple(dict.fromkeys(names))


def _read_duration_ms(option: str, text: str) -> int:
    match = _DURATION.fullmatch(text)
    if match is None:
        raise _usage_error(
            f"{option} {text} is not a length of time.", "Write a number and s, m, h or d, such as 90s or 7d."
        )
    return int(float(match[1]) * _UNITS_MS[match[2]])


def _read_start_ms(text: str) -> int:
    if not text:
        return time.time_ns() // 1_000_000
    try:
        start = datetime.fromisoformat(text)
    except ValueError:
        raise _usage_error(f"--start {text} is not a time.", "Write it as 2026-11-22T10:00:00Z.") from None
    return int((start if start.tzinfo else start.replace(tzinfo=UTC)).timestamp() * 1000)


def _usage_error(problem: str, remedy: str) -> SetupError:
    return SetupError(problem, remedy, exit_code=_USAGE)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _print_summary(summary: dict[str, Any], as_json: bool) -> None:
    typer.echo(json.dumps(summary) if as_json else _describe_summary(summary))


def _describe_summary(summary: dict[str, Any]) -> str:
    unsent = f"; {summary['unsent']:,} were given up" if summary["unsent"] else ""
    return f"Sent {summary['sent']:,} records in {summary['seconds']:,} s{unsent}."
