"""What `rta import` tells of several files. A file that is refused hides nothing that was imported before it.

As text, each file is told once it is done. As JSON there is one document at the end, also after a refusal.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtaplatform.core.errors import SetupError

if TYPE_CHECKING:
    from rtaplatform.operate.import_run import ImportSummary

_FAULTS_SHOWN_MAX = 20


def import_files(
    files: Sequence[Path], import_one: Callable[[Path], ImportSummary], say: Callable[[str], None], *, as_json: bool
) -> list[ImportSummary]:
    """Import one file after the other. Raises what `import_one` raises, after it has told what is imported."""
    summaries: list[ImportSummary] = []
    try:
        for path in files:
            summaries.append(import_one(path))
            if not as_json:
                say(describe_summary(summaries[-1]))
    except BaseException as error:  # also Ctrl-C
        open_files = files[len(summaries) :]
        if as_json:
            say(_write_json(summaries, open_files, error))
        elif len(files) > 1:
            say(_describe_rest(open_files))
        raise
    if as_json:
        say(_write_json(summaries, [], None))
    return summaries


def describe_summary(summary: ImportSummary) -> str:
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


def _describe_rest(open_files: Sequence[Path]) -> str:
    names = shlex.join(map(str, open_files))
    return f"Not imported, or not to its end: {names}\nRun the command again with these. It goes on where it stopped."


def _write_json(summaries: Sequence[ImportSummary], open_files: Sequence[Path], error: BaseException | None) -> str:
    problem: dict[str, Any] | None = None
    if error is not None:
        problem = {"message": str(error) or "It was stopped.", "remedy": None}
    if isinstance(error, SetupError):
        problem = {"message": error.problem, "remedy": error.remedy}
    files = [dataclasses.asdict(summary) for summary in summaries]
    return json.dumps({"files": files, "left": [str(path) for path in open_files], "problem": problem})
