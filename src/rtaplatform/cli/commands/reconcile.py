"""`rta reconcile`: compare the live totals with a recount of the log (`operate/reconcile/`)."""

from __future__ import annotations

import json
import sys
from datetime import date, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from rtaplatform.cli.connections import Connections, DataDirOption, JsonOption, KafkaOption, RedisOption
from rtaplatform.cli.stop_signals import record_stop_signals
from rtaplatform.core.errors import NotFound, SetupError

if TYPE_CHECKING:
    from rtaplatform.operate.reconcile.compared_totals import ComparedMetric
    from rtaplatform.operate.reconcile.reconcile_run import ReconcileRequest, Reconciliation

_DIFFERENT = 4
_BUCKETS_SHOWN_MAX = 20


def command(
    project: Annotated[list[str] | None, typer.Option(help="A project; may be given again.  [default: demo]")] = None,
    from_: Annotated[
        str, typer.Option("--from", metavar="DAY", help="First day.  [default: the day before --to]")
    ] = "",
    to: Annotated[str, typer.Option("--to", metavar="DAY", help="Last day, included.  [default: today]")] = "",
    back: Annotated[
        int | None, typer.Option(min=1, metavar="DAYS", help="Read only this long before the period.  [default: all]")
    ] = None,
    kafka: KafkaOption = None,
    redis: RedisOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Count a period again from the log, by an independent program, and compare it with the live totals.

    It changes nothing, and workers may go on meanwhile. Days are the project's local ones. Exit code 4 if something
    differs.

    Examples:

        rta reconcile

        rta reconcile --project shop --from 2026-11-01 --to 2026-11-07 --json

        rta reconcile --back 8
    """
    from rtaplatform import telemetry
    from rtaplatform.operate.reconcile.reconcile_run import ReconcileRequest

    telemetry.configure_logging("WARNING")
    first, last = _read_day("--from", from_), _read_day("--to", to)
    back_ms = None if back is None else int(timedelta(days=back).total_seconds() * 1000)
    connections = Connections(kafka=kafka, redis=redis, data_dir=data_dir)
    requests = [ReconcileRequest(slug, first, last, back_ms) for slug in project or ["demo"]]
    results = [_run(connections, request) for request in requests]
    if as_json:
        print(json.dumps({"projects": [result.as_dict() for result in results]}), flush=True)
    else:
        print("\n\n".join(map(_describe, results)), flush=True)
    if not all(result.is_equal for result in results):
        raise typer.Exit(_DIFFERENT)


def _run(connections: Connections, request: ReconcileRequest) -> Reconciliation:
    from rtaplatform.operate.reconcile.reconcile_run import reconcile
    from rtaplatform.simulate.progress import Progress

    received_signals = record_stop_signals()
    with Progress(f"reconcile {request.project}", "read", 0, say=_say) as progress:
        try:
            return reconcile(
                connections.read_kafka_settings(),
                connections.store_settings(),
                request,
                show=progress.show,
                is_stopped=lambda: bool(received_signals),
            )
        except NotFound as error:
            raise SetupError(str(error), "The project of events is its slug.", exit_code=2) from error


def _describe(result: Reconciliation) -> str:
    """The table, the buckets that differ, and what was read."""
    from rtaplatform.operate.reconcile.reconcile_run import show_moment

    rows = [("metric", "live", "recount", "difference")]
    rows += [(m.name, _show_number(m.live), _show_number(m.recount), _show_difference(m)) for m in result.metrics]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    table = ["  ".join((row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:]))).rstrip() for row in rows]
    begin = "nothing" if result.read_from_ms is None else f"from {show_moment(result.read_from_ms)}"
    return "\n".join(
        (
            f"{result.live.project.slug}, {result.period.first_day} to {result.period.last_day} "
            f"({result.live.project.zone})",
            *table,
            *_describe_buckets(result),
            f"Read {result.records:,} records, {begin}, up to what the totals include, in {result.seconds:,.1f} s.",
            *result.remarks,
            "No difference." if result.is_equal else "There are differences.",
        )
    )


def _describe_buckets(result: Reconciliation) -> list[str]:
    from rtaplatform.operate.reconcile.reconcile_run import show_moment

    lines = [
        f"{bucket.rollup}, {bucket.kind} of {show_moment(bucket.start * 60_000)}: {bucket.what}"
        + ("" if bucket.live is None else f" is {bucket.live:,}, recount {bucket.recount:,}")
        for bucket in result.buckets[:_BUCKETS_SHOWN_MAX]
    ]
    more = len(result.buckets) - len(lines)
    return lines + ([f"… and {more:,} more; --json has up to 1,000."] if more else [])


def _show_number(value: float) -> str:
    return f"{value:,.4f}".rstrip("0").rstrip(".")


def _show_difference(metric: ComparedMetric) -> str:
    if not metric.difference:
        return "none"
    return f"{_show_number(metric.difference)}{' (within the error)' if metric.is_equal else ''}"


def _read_day(option: str, text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise SetupError(f"{option} {text} is not a day.", "Write it as 2026-11-22.", exit_code=2) from None


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
