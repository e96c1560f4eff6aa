"""`rta import`: the history of another tool becomes events of a project (`operate/import_run.py`)."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rtaplatform.cli.commands.history.file_report import import_files
from rtaplatform.cli.connections import Connections, DataDirOption, JsonOption, KafkaOption, PostgresOption
from rtaplatform.core.errors import SetupError

if TYPE_CHECKING:
    from rtaplatform.operate.import_run import ImportSummary

_REFUSED = 4
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
    event are listed with their line and reason; then the exit code is 4. If a file is refused, the files before it
    stay imported, and those that are left are named.

    Examples:

        rta import --from umami website_event.csv

        rta import --from ga4 --project shop events_2026*.json.gz --json
    """
    from rtaplatform import telemetry

    telemetry.configure_logging("WARNING")
    if tool not in _TOOL_NAMES:
        raise SetupError(f"--from {tool} is unknown.", f"It is one of {', '.join(_TOOL_NAMES)}.", exit_code=2)
    missing_files = [str(path) for path in files if not path.is_file()]
    if missing_files:
        raise SetupError(f"There is no file {missing_files[0]}.", "Check the path.", exit_code=2)
    connections = Connections(kafka=kafka, postgres=postgres, data_dir=data_dir)
    import_one = partial(_import, connections, tool=tool, project=project, again=again)
    summaries = import_files(files, import_one, partial(print, flush=True), as_json=as_json)
    if any(summary.refused for summary in summaries):
        raise typer.Exit(_REFUSED)


def _import(connections: Connections, path: Path, *, tool: str, project: str, again: bool) -> ImportSummary:
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


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
