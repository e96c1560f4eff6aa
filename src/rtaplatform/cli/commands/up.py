"""`rta up`: the whole platform on this machine.

Prints each step of the start, then the address and commands to try, then the live numbers: a table on a terminal, else
a line every LINE_SECONDS.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rtaplatform.cli.commands.doctor import require_given
from rtaplatform.cli.connections import Connections, KafkaOption, PostgresOption, RedisOption, find_folder
from rtaplatform.cli.listener import resolve_host
from rtaplatform.cli.live_summary import LiveSummaryReader, format_line, format_table
from rtaplatform.cli.sign_in_link import find_sign_in_link
from rtaplatform.cli.table_key import reading_key
from rtaplatform.local.platform import Instance, LaunchOptions, running_platform
from rtaplatform.local.supervisor.supervisor import StopRequested
from rtaplatform.settings import ApiSettings, LocalSettings
from rtaplatform.simulate.shop.plan import RATE_MAX

if TYPE_CHECKING:
    from rich.status import Status

LINE_SECONDS = 10.0
SIMULATED_EVENT_BYTES = 240  # in the log, compressed
RateOption = Annotated[
    float, typer.Option(min=0, max=RATE_MAX, metavar="N", help="Simulated events a second; 0 for none.")
]


def command(
    data_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The folder for all data.  [default: .rta]")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port of the API; 0 picks one; else RTA_API_PORT.  [8000]")
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Address on which the API listens; else RTA_API_HOST.  [127.0.0.1]")
    ] = None,
    simulate: RateOption = 50,
    workers: Annotated[int, typer.Option(min=1, max=16, help="Workers to run.")] = 1,
    ready_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Written once all is ready: addresses and keys as JSON.")
    ] = None,
    project: Annotated[str, typer.Option(help="The project whose numbers the live table shows.")] = "demo",
    kafka: KafkaOption = None,
    redis: RedisOption = None,
    postgres: PostgresOption = None,
) -> None:
    """Run the whole platform on this machine: Kafka, Valkey, PostgreSQL, workers, API, a simulated shop.

    Ctrl-C stops it. Started again, it continues where it was. A server that is given is not started.

    Examples:

        rta up

        rta up --port 0 --simulate 200 --ready-file ready.json

        rta up --kafka broker:9092 --redis redis://user:password@host:6379/0
    """
    connections, api = Connections(kafka, redis, postgres), ApiSettings()
    options = LaunchOptions(
        find_folder(data_dir), api.port if port is None else port, simulate, workers, ready_file,
        kafka=connections.find_given_kafka(), redis=connections.find_given_redis(),
        postgres=connections.find_given_postgres(),
        settings=LocalSettings(), host=resolve_host(host or api.host)[1],
    )  # fmt: skip
    require_given(connections)
    try:
        with StartSteps() as steps, running_platform(options, steps) as instance, reading_key(instance, project) as key:
            steps.end()
            _print_greeting(options, instance)
            _show_numbers(instance, LiveSummaryReader(instance.url, key, signals=instance.signals))
    except StopRequested:
        say("Stopped.")
    except BrokenPipeError:
        sys.stderr.write("Stopped: nobody reads this output any more.\n")
        raise


class StartSteps:
    """Prints each step with the seconds since the start, and on a terminal a spinner beside the last one."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._status: Status | None = None

    def __enter__(self) -> StartSteps:
        if sys.stdout.isatty():
            from rich.console import Console

            self._status = Console().status("Starting")
            self._status.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.end()

    def __call__(self, text: str) -> None:
        """Print a step or an event."""
        say(f"{time.monotonic() - self._start:6.1f} s  {text}")
        if self._status:
            self._status.update(f"{text} …")

    def end(self) -> None:
        """End the spinner, because the steps are done."""
        if self._status:
            self._status.stop()
            self._status = None


def _print_greeting(options: LaunchOptions, instance: Instance) -> None:
    keys, url = instance.keys, instance.url
    say(
        f"\nReady: {url}   (documentation at {url}/docs)\n\n"
        f"{_describe_dashboard(instance)}"
        "Try:\n"
        f"  curl -X POST {url}/v1/track -H 'Authorization: Bearer {keys.write_key}' "
        "-H 'Content-Type: application/json' "
        """-d '{"anonymousId": "me", "event": "Product Viewed", "properties": {"product_id": "p-1"}}'\n"""
        f"  curl {url}/v1/metrics/orders -H 'Authorization: Bearer {keys.read_key}'\n\n"
        f"{_describe_disk_use(options)}Ctrl-C stops it.\n"
    )


def _describe_dashboard(instance: Instance) -> str:
    link = find_sign_in_link(instance.url, instance.keys.admin_key)
    return "" if link is None else f"Dashboard (this link signs in once, within 10 minutes):\n  {link}\n\n"


def _describe_disk_use(options: LaunchOptions) -> str:
    if options.kafka:
        return ""
    gigabytes_max = options.settings.kafka_bytes_max / 1e9
    line = (
        f"Disk: the log of events takes at most {gigabytes_max:.1f} GB (RTA_KAFKA_BYTES_MAX). "
        "Then the oldest events are deleted.\n"
    )
    if options.events_per_second > 0:
        gigabytes_per_day = options.events_per_second * SIMULATED_EVENT_BYTES * 86_400 / 1e9
        line += f"      The simulated shop writes about {gigabytes_per_day:.1f} GB a day; --simulate 0 turns it off.\n"
    return line


def _show_numbers(instance: Instance, reader: LiveSummaryReader) -> None:
    """Show the numbers until a stop signal. Meanwhile `tick` checks the children."""
    reader.start()
    if sys.stdout.isatty():
        _show_table(instance, reader)
    else:
        _show_lines(instance, reader)


def _show_table(instance: Instance, reader: LiveSummaryReader) -> None:
    from rich.live import Live

    with Live(format_table(reader.latest), refresh_per_second=4, transient=True) as live:
        for _ in instance.supervisor.tick():
            live.update(format_table(reader.latest))


def _show_lines(instance: Instance, reader: LiveSummaryReader) -> None:
    due = time.monotonic() + LINE_SECONDS
    for _ in instance.supervisor.tick():
        if time.monotonic() >= due:
            due += LINE_SECONDS
            say(format_line(reader.latest))


def say(text: str) -> None:
    """Print a line. If the output has no room for it, the line is lost, but nothing ends."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise
    except OSError:
        pass
