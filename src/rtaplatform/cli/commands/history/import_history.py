"""`rta import`: the history of another tool becomes events of a project (`operate/import_run.py`)."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rtaplatform.cli.connections import Connections, DataDirOption, JsonOption, KafkaOption, PostgresOption
from rtaplatform.core.errors import SetupError

if TYPE_CHECKING:
    from rtaplatform.operate.import_run import ImportSummary

_REFUSED = 4
_FAULTS_SHOWN_MAX = 20
_TOOL_NAMES = ("plausible", "umami", "matomo", "ga4", "csv")


def command(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="CSV, JSON lines or a JSON list; also gzip.")],
    tool: Annotated[str, typer.Option("--from", metavar="TOOL", help=f"{', '.join(_TOOL_NAMES)}.")],
    project: Annotated[str, typer.Option(help="The project that gets the events.")] = "demo",
    again: Annotated[
        bool, typer.Option("--again", help="Import a file that was imported before: its events count twice.")
    ] = False,
    kafka: KafkaOption = None,
    postgres: PostgresOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Turn exports of other tools into events, each at its own time.

    The same content is imported once, for good. An import that was stopped goes on where it was. Rows that give no
    event are listed with their line and reason; then the exit code is 4.

    Examples:

        rta import --from umami website_event.csv

        rta import --from ga4 --project shop events_2026*.json.gz --json
    """
    from rtaplatform import telemetry

    telemetry.configure_logging("WARNING")
    if tool not in _TOOL_NAMES:
        raise SetupError(f"--from {tool} is unknown.", f"It is one of {', '.join(_TOOL_NAMES)}.", exit_code=2)
    missing = [str(path) for path in files if not path.is_file()]
    if missing:
        raise SetupError(f"There is no file {missing[0]}.", "Check the path.", exit_code=2)
    connections = Connections(kafka=kafka, postgres=postgres, data_dir=data_dir)
    summaries = [_import(connections, path, tool, project, again=again) for path in files]
    if as_json:
        print(json.dumps({"files": [dataclasses.asdict(summary) for summary in summaries]}), flush=True)
    else:
        print("\n".join(map(_describe, summaries)), flush=True)
    if any(summary.refused for summary in summaries):
        raise typer.Exit(_REFUSED)


def _import(connections: Connections, path: Path, tool: str, project: str, *, again: bool) -> ImportSummary:
    from rtaplatform.operate.import_run import ImportRequest, import_file
    from rtaplatform.simulate.progress import Progress

    request = ImportRequest(path, tool, project, again)
    with Progress(path.name, "done", 0, say=_say) as progress:
        return asyncio.run(
            import_file(
                connections.read_kafka_settings(),
                connections.read_catalog_settings(),
                request,
                lambda _, count, total: progress.show(count, total),
            )
        )


def _describe(summary: ImportSummary) -> str:
    if summary.outcome == "known":
        return (
            f"{summary.file}: imported before, {summary.events:,} events. Nothing was sent; --again sends them again."
        )
    lines = [
        f"{summary.file}: {summary.outcome}, {summary.events:,} events of {summary.rows:,} rows, "
        f"{summary.refused:,} refused."
    ]
    if summary.late:
        lines.append(f"  {summary.late:,} events are older than what is counted (400 days): the log keeps them.")
    lines += [f"  line {fault['line']}: {fault['reason']}" for fault in summary.faults[:_FAULTS_SHOWN_MAX]]
    more = summary.refused - min(len(summary.faults), _FAULTS_SHOWN_MAX)
    return "\n".join(lines + ([f"  … and {more:,} more; --json has up to 1,000."] if more > 0 else []))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
