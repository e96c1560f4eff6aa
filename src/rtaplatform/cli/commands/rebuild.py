"""`rta rebuild`: count again from the log, beside the live totals, and switch (`operate/rebuild_run.py`)."""

from __future__ import annotations

import gc
import json
import sys
from typing import Annotated, Any

import typer

from rtaplatform.cli.connections import Connections, DataDirOption, JsonOption, KafkaOption, RedisOption
from rtaplatform.cli.stop_signals import record_stop_signals
from rtaplatform.core.errors import SetupError


def command(
    shard: Annotated[int | None, typer.Option(min=0, help="Only this shard.  [default: all]")] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Go on where the log has lost its beginning: that is not counted.")
    ] = False,
    empty: Annotated[
        bool, typer.Option("--empty", help="Drop the totals at once instead; the workers count again.")
    ] = False,
    abandon: Annotated[bool, typer.Option("--abandon", help="Drop what an unfinished rebuild has built.")] = False,
    keep_old: Annotated[
        int, typer.Option("--keep-old", min=0, max=24, metavar="HOURS", help="Keep the old totals, frozen, so long.")
    ] = 24,
    kafka: KafkaOption = None,
    redis: RedisOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Count everything again from the log, beside the live totals, then switch to the new ones.

    Workers and answers continue meanwhile. Started again after an interruption, a rebuild continues where it was.

    Examples:

        rta rebuild

        rta rebuild --shard 0 --json

        rta rebuild --keep-old 0

        rta rebuild --abandon

        rta rebuild --empty --shard 0
    """
    if empty and abandon:
        raise SetupError("--empty and --abandon are two different things.", "Give one of them.", exit_code=2)
    connections = Connections(kafka=kafka, redis=redis, data_dir=data_dir)
    if not empty and not abandon:
        _rebuild(connections, shard, partial=partial, keep_old=keep_old, as_json=as_json)
        return
    lines = _rebuild_empty(connections, shard) if empty else _abandon(connections, shard)
    print(json.dumps({"done": lines}) if as_json else "\n".join(lines), flush=True)


def _rebuild_empty(connections: Connections, shard: int | None) -> list[str]:
    from rtaplatform.operate.operations import rebuild_empty

    return rebuild_empty(connections.read_kafka_settings(), connections.store_settings(), shard)


def _abandon(connections: Connections, shard: int | None) -> list[str]:
    from rtaplatform.operate.rebuild_run import abandon

    return abandon(connections.store_settings(), shard)


def _rebuild(connections: Connections, shard: int | None, *, partial: bool, keep_old: int, as_json: bool) -> None:
    from rtaplatform import telemetry
    from rtaplatform.operate.rebuild_run import RebuildRun
    from rtaplatform.settings import WorkerSettings
    from rtaplatform.simulate.progress import Progress

    telemetry.configure_logging("WARNING")
    received_signals = record_stop_signals()
    gc.set_threshold(200_000, 20, 100)  # as in `rta worker`: what a batch makes lives as long as the batch
    kafka, store, worker = connections.read_kafka_settings(), connections.store_settings(), WorkerSettings()
    run = RebuildRun(kafka, store, shard, worker=worker, keep_old_hours=keep_old)
    try:
        for line in run.check(partial=partial):
            _say(line)
        _, total = run.read_progress()
        with Progress("rebuild", "read", total, say=_say) as progress:
            while run.step() and not received_signals:
                progress.show(*run.read_progress())
    finally:
        run.close()
    if received_signals:
        raise SetupError("Stopped before the switch.", "Run it again: it continues where it was.")
    summary = run.summarise()
    print(json.dumps(summary) if as_json else _describe_summary(summary, keep_old), flush=True)


def _describe_summary(summary: dict[str, Any], keep_old: int) -> str:
    rate = f"{summary['records']:,} records in {summary['seconds']:,} s, {summary['rate']:,} a second"
    shards = (f"shard {shard}: generation {name} is read now" for shard, name in summary["generations"].items())
    old = f"The totals before are kept for {keep_old} hours." if keep_old else "The totals before are dropped."
    return "\n".join((*shards, rate, old))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
