"""`rta simulate`: visitors of a demo shop, as records on Kafka, or as the requests of SDKs to a collector.

Turns the options into a `SimulationPlan`.
"""

from __future__ import annotations

import gc
import json
import math
import os
import re
import signal
import sys
import time
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from rtaplatform.cli.connections import Connections, DataDirOption, KafkaOption, find_folder
from rtaplatform.cli.project_check import require_project
from rtaplatform.core.errors import SetupError
from rtaplatform.simulate.shop.plan import DOUBLE_REPORT_SHARE, DUPLICATE_SHARE, LATE_SHARE, MALFORMED_SHARE, RATE_MAX

if TYPE_CHECKING:
    from rtaplatform.simulate.over_http.http_run import CollectorAddress
    from rtaplatform.simulate.shop.plan import SimulationPlan

_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_USAGE = 2
_SHARE = {"min": 0.0, "max": 1.0}


class Via(StrEnum):
    """What the events are sent to."""

    KAFKA = "kafka"
    HTTP = "http"


DoubleReportsOption = Annotated[
    float, typer.Option(min=0, max=0.7, help="Share of orders that page and server both report.")
]
ViaOption = Annotated[Via, typer.Option(help="Send to Kafka, or as SDKs do to a collector over HTTP.")]
CollectorUrlOption = Annotated[
    str, typer.Option(metavar="URL", help="Of the collector; default: that of the running `rta up`.")
]
WriteKeyOption = Annotated[
    str, typer.Option(metavar="KEY", help="Of the project at the collector; default: that of the running `rta up`.")
]
GiveUpOption = Annotated[
    str, typer.Option(metavar="TIME", help="End if the collector gives no answer for this long; none: wait for good.")
]


def command(
    rate: Annotated[float, typer.Option(min=0, max=RATE_MAX, help="Events per second; 0: as fast as possible.")] = 50.0,
    users: Annotated[int, typer.Option(min=1, help="Known users, u-1 to u-N.")] = 2_000,
    products: Annotated[int, typer.Option(min=2, help="Products, p-1 to p-N.")] = 200,
    sources: Annotated[str, typer.Option(help="Of web, ios, android, server.")] = "web,ios,android,server",
    duration: Annotated[str, typer.Option(help="60s, 10m, 2h, or none: until stopped.")] = "none",
    seed: Annotated[int, typer.Option(help="The same seed sends the same events.")] = 1,
    start: Annotated[str, typer.Option(help="Time of the run in ISO 8601; history ends there. Default: now.")] = "",
    late: Annotated[float, typer.Option(**_SHARE, help="Share sent minutes to hours late.")] = LATE_SHARE,
    duplicates: Annotated[float, typer.Option(**_SHARE, help="Share sent again.")] = DUPLICATE_SHARE,
    malformed: Annotated[float, typer.Option(**_SHARE, help="Share that is broken.")] = MALFORMED_SHARE,
    double_reports: DoubleReportsOption = DOUBLE_REPORT_SHARE,
    backfill: Annotated[str, typer.Option(help="History of this length (7d) at full speed, then end.")] = "",
    events: Annotated[int, typer.Option(min=0, help="Stop after exactly this many records; 0: no such end.")] = 0,
    project: Annotated[str, typer.Option(help="The project the events belong to.")] = "demo",
    truth: Annotated[Path | None, typer.Option(help="Write the exact numbers of what was sent to this file.")] = None,
    via: ViaOption = Via.KAFKA,
    url: CollectorUrlOption = "",
    write_key: WriteKeyOption = "",
    give_up: GiveUpOption = "1m",
    kafka: KafkaOption = None,
    data_dir: DataDirOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Send the events of simulated visitors to Kafka, or to a collector.

    Examples:

        rta simulate --backfill 7d --rate 5 --truth truth.json

        rta simulate --rate 0 --events 1000000 --kafka localhost:9092

        rta simulate --via http --url https://rta.example.com --write-key rta_w_…
    """
    from rtaplatform.simulate.shop.plan import SimulationPlan

    plan = SimulationPlan(
        start_ms=_read_start_ms(start), project=project, rate=rate, users=users, products=products,
        sources=_read_sources(sources), seed=seed, late=late, duplicates=duplicates, malformed=malformed,
        double_reports=double_reports, duration_ms=_read_duration_ms("--duration", duration),
        backfill_ms=_read_duration_ms("--backfill", backfill), events_max=events or None,
    )  # fmt: skip
    _require_consistent(plan)
    connections = Connections(kafka=kafka, data_dir=data_dir)
    collector = _find_collector(plan, connections, url, write_key) if via is Via.HTTP else None
    if collector is not None:
        collector = collector._replace(away_seconds_max=_read_seconds("--give-up", give_up))
    _print_summary(_run(plan, connections, collector, truth), as_json)


def _run(
    plan: SimulationPlan, connections: Connections, collector: CollectorAddress | None, truth: Path | None
) -> dict[str, Any]:
    from rtaplatform.simulate.over_http.http_run import simulate_over_http
    from rtaplatform.simulate.run import SimulationRun, simulate

    # All events of an unknown project would be dead letters. The simulator of `rta up` has no access to PostgreSQL, and
    # sends to the demo project.
    project = None if os.environ.get("RTA_SUPERVISED") else require_project(connections, plan.project)
    # Thousands of visits are alive at once, without cycles. Searching for cycles would cost a third of the speed.
    gc.set_threshold(100_000, 50, 100)
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    run = SimulationRun(plan, _say, stop.is_set, project)
    if collector is not None:
        return simulate_over_http(run, collector, truth)
    return simulate(run, connections.read_kafka_settings(), truth)


def _find_collector(plan: SimulationPlan, connections: Connections, url: str, write_key: str) -> CollectorAddress:
    """Return the collector that the options name, else that of the running platform. Raises SetupError."""
    from rtaplatform.local.data.data_dir import provide_demo_keys
    from rtaplatform.simulate.over_http.http_run import CollectorAddress

    if plan.backfill_ms is not None:
        raise _make_usage_error(
            "--backfill needs --via kafka: a collector takes events as arriving now.", "Leave --via http away."
        )
    if plan.rate == 0 and plan.events_max is None:
        raise _make_usage_error("--rate 0 over HTTP needs an end.", "Give --events.")
    if plan.start_ms > time.time_ns() // 1_000_000:
        raise _make_usage_error(
            "--start is in the future, and a collector refuses such events.", "Give an earlier time."
        )
    instance = connections.find_running() if not (url and write_key) else None
    if instance is not None:
        url = url or instance.url
        write_key = write_key or provide_demo_keys(find_folder(connections.data_dir)).write_key
    if not (url and write_key):
        raise SetupError(
            f"No collector is known: nothing runs from {find_folder(connections.data_dir)}.",
            "Start `rta up`, name its --data-dir, or give --url and --write-key.",
        )
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise _make_usage_error(f"--url {url} is no address of a collector.", "Write it as https://rta.example.com.")
    return CollectorAddress(url, write_key)


def _require_consistent(plan: SimulationPlan) -> None:
    if plan.late + plan.duplicates + plan.malformed > 1:
        raise _make_usage_error("--late, --duplicates and --malformed add up to more than 1.", "Lower one of them.")
    if plan.backfill_ms is not None and plan.rate == 0:
        raise _make_usage_error("--backfill needs the average of events per second of history.", "Give --rate above 0.")


def _read_sources(text: str) -> tuple[str, ...]:
    from rtaplatform.simulate.shop.plan import SOURCES

    names = tuple(name.strip() for name in text.split(","))
    if not set(names) <= set(SOURCES):
        raise _make_usage_error(f"--sources {text} names an unknown source.", f"Known are {', '.join(SOURCES)}.")
    return tuple(dict.fromkeys(names))


def _read_duration_ms(option: str, text: str) -> int | None:
    """Return the length of time; None for none."""
    if text in ("", "none"):
        return None
    match = _DURATION.fullmatch(text)
    if match is None:
        raise _make_usage_error(
            f"{option} {text} is not a length of time.", "Write a number and s, m, h or d, such as 90s or 7d."
        )
    return int(float(match[1]) * _UNITS_MS[match[2]])


def _read_seconds(option: str, text: str) -> float:
    """Return the length of time; infinity for none."""
    length_ms = _read_duration_ms(option, text)
    return math.inf if length_ms is None else length_ms / 1_000


def _read_start_ms(text: str) -> int:
    if not text:
        return time.time_ns() // 1_000_000
    try:
        start = datetime.fromisoformat(text)
    except ValueError:
        raise _make_usage_error(f"--start {text} is not a time.", "Write it as 2026-11-22T10:00:00Z.") from None
    return int((start if start.tzinfo else start.replace(tzinfo=UTC)).timestamp() * 1000)


def _make_usage_error(problem: str, remedy: str) -> SetupError:
    return SetupError(problem, remedy, exit_code=_USAGE)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _print_summary(summary: dict[str, Any], as_json: bool) -> None:
    typer.echo(json.dumps(summary) if as_json else _describe_summary(summary))


def _describe_summary(summary: dict[str, Any]) -> str:
    loss_text = f"; {summary['unsent']:,} were given up" if summary["unsent"] else ""
    refusal_count = sum(summary["refused"].values())
    broken = f"; {refusal_count:,} broken ones were refused, as they must be" if refusal_count else ""
    return f"Sent {summary['sent']:,} records in {summary['seconds']:,} s{broken}{loss_text}."
