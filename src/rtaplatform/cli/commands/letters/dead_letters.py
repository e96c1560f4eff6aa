"""`rta dead-letters`: what could not be counted and what was refused, of all projects, known or not."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer

from rtaplatform.cli.connections import Connections, DataDirOption, JsonOption, KafkaOption
from rtaplatform.cli.project_check import require_project
from rtaplatform.core.errors import NotFound, SetupError, Unavailable
from rtaplatform.core.events import Reason

app = typer.Typer(no_args_is_help=True, help="Dead letters: what could not be counted or was refused, and why.")
KindOption = Annotated[str, typer.Option(help="dead: it reached Kafka. rejected: the collector refused it.")]
OfProjectOption = Annotated[str | None, typer.Option(help="Only of this project (its slug). Not with --unknown.")]
UnknownOption = Annotated[bool, typer.Option("--unknown", help="Only those that name no project that exists.")]
ReasonOption = Annotated[str | None, typer.Option(help="Only with this reason, as unknown_project.")]
HoursOption = Annotated[float | None, typer.Option(min=0, max=100_000, help="Only of the last so many hours.")]
LimitOption = Annotated[int, typer.Option(min=1, max=5_000, help="How many letters.")]


@app.command("list")
def list_letters(
    kind: KindOption = "dead",
    project: OfProjectOption = None,
    unknown: UnknownOption = False,
    reason: ReasonOption = None,
    hours: HoursOption = None,
    limit: LimitOption = 20,
    kafka: KafkaOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the newest letters, with counts by reason.

    Examples:

        rta dead-letters list

        rta dead-letters list --kind rejected --project demo --hours 24

        rta dead-letters list --unknown --json
    """
    from rtaplatform.feed.letter_search import KINDS, LetterQuestion, describe_letter
    from rtaplatform.wiring.feed import build_letters

    _require_one_of_two(project, unknown=unknown)
    _require_one_of("kind", kind, KINDS)
    _require_one_of("reason", reason, tuple(Reason))
    from_ms = 0 if hours is None else int((time.time() - hours * 3600) * 1000)
    connections = Connections(kafka=kafka, data_dir=data_dir)
    _require_project(connections, project)
    question = LetterQuestion(kind, "" if unknown else project, reason, from_ms, limit=limit)
    page = build_letters(connections.read_kafka_settings())[0].find(question)
    letters = [describe_letter(letter) for letter in page.letters]
    if as_json:
        print(json.dumps({"items": letters, "counts": page.counts, "scanned_from": page.scanned_from}), flush=True)
    else:
        print("\n".join(_format_list(letters, page.counts, page.scanned_from)), flush=True)


def _require_project(connections: Connections, project: str | None) -> None:
    """Raise SetupError if there is no such project. While PostgreSQL is away, letters can be read nevertheless."""
    if project is None:
        return
    try:
        require_project(connections, project)
    except Unavailable as error:
        print(
            f"{str(error).rstrip('.')}. It is not checked whether there is a project {project!r}.",
            file=sys.stderr,
            flush=True,
        )


def _require_one_of_two(project: str | None, *, unknown: bool) -> None:
    if unknown and project is not None:
        raise SetupError(
            f"--unknown names letters of no project, and --project {project[:100]} those of one.",
            "Give one of the two.",
            exit_code=2,
        )


def _require_one_of(name: str, value: str | None, allowed: Sequence[str]) -> None:
    if value is not None and value not in allowed:
        raise SetupError(f"There is no {name} {value[:100]!r}.", f"It is one of {', '.join(allowed)}.", exit_code=2)


@app.command()
def show(
    id: Annotated[str, typer.Argument(help="The letter's id: topic:partition:offset.")],
    kafka: KafkaOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one letter: the record as text, why it is not counted, and what to do about it.

    Examples:

        rta dead-letters show rta.events.web:2:41
    """
    from rtaplatform.feed.letter_search import describe_letter
    from rtaplatform.wiring.feed import build_letters

    try:
        search, _ = build_letters(Connections(kafka=kafka, data_dir=data_dir).read_kafka_settings())
        letter = search.find_one(id, None)
    except NotFound as error:
        raise SetupError(error.detail, "`rta dead-letters list` shows the newest.", exit_code=2) from None
    description = describe_letter(letter)
    if as_json:
        print(json.dumps(description), flush=True)
        return
    # As JSON texts, since an event may hold what moves a terminal's cursor.
    print("\n".join(f"{name:12} {json.dumps(value)}" for name, value in description.items()), flush=True)


@app.command()
def replay(
    ids: Annotated[list[str] | None, typer.Argument(help="The letters' ids; none: all that the options name.")] = None,
    project: OfProjectOption = None,
    unknown: UnknownOption = False,
    reason: ReasonOption = None,
    kafka: KafkaOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write letters into their topics again, after what was wrong with them is mended. Each counts at most once.

    Examples:

        rta dead-letters replay rta.events.web:2:41

        rta dead-letters replay --unknown --reason unknown_project

        rta dead-letters replay --project demo --reason time_in_future
    """
    from rtaplatform.feed.event_items import DEAD
    from rtaplatform.feed.letter_replay import REPLAYED_MAX
    from rtaplatform.feed.letter_search import LetterQuestion
    from rtaplatform.wiring.feed import build_letters

    if not ids and project is None and not unknown and reason is None:
        raise SetupError("No letters are named.", "Give ids, --project, --unknown or --reason.", exit_code=2)
    if ids and (project is not None or unknown or reason is not None):
        raise SetupError(
            "Ids name letters already: --project, --unknown and --reason name others.",
            "Give the ids alone, or the options alone.",
            exit_code=2,
        )
    _require_one_of_two(project, unknown=unknown)
    _require_one_of("reason", reason, tuple(Reason))
    connections = Connections(kafka=kafka, data_dir=data_dir)
    _require_project(connections, project)
    _, letters = build_letters(connections.read_kafka_settings())
    try:
        question = LetterQuestion(DEAD, "" if unknown else project, reason, limit=REPLAYED_MAX)
        results = [letters.replay_one(id, None) for id in ids] if ids else letters.replay_all(question)
    except NotFound as error:
        raise SetupError(error.detail, "`rta dead-letters list` shows the newest.", exit_code=2) from None
    if as_json:
        print(
            json.dumps([{"id": result.id, "result": result.result, "detail": result.detail} for result in results]),
            flush=True,
        )
    else:
        lines = (f"{result.id:28} {result.result}: {result.detail}" for result in results)
        print("\n".join(lines) or "There are no such letters.", flush=True)


def _format_list(letters: Iterable[dict[str, Any]], counts: dict[str, int], scanned_from: str | None) -> Iterable[str]:
    yield "  ".join(f"{reason}: {n}" for reason, n in counts.items()) or "There are no dead letters."
    for letter in letters:
        project, event = letter["project"] or "(unknown)", json.dumps(letter["event"] or "")
        yield f"{letter['written_at']}  {letter['reason']:17} {project:16} {letter['id']:28} {event}"
    if scanned_from is not None:
        yield f"Older ones than of {scanned_from} were not looked at."
