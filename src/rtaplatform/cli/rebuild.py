"""`rta rebuild`: count again from the log. So far in place: the shard is emptied first."""

from __future__ import annotations

from typing import Annotated

import typer

from rtaplatform.cli.connections import Connections, DataDirOption, KafkaOption, RedisOption
from rtaplatform.core.errors import SetupError


def command(
    empty: Annotated[
        bool, typer.Option("--empty", help="Drop the totals first; answers are incomplete meanwhile.")
    ] = False,
    shard: Annotated[int | None, typer.Option(min=0, help="Only this shard.  [default: all]")] = None,
    kafka: KafkaOption = None,
    redis: RedisOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Empty a torn or lost shard, and let the workers read it again from the log's start.

    Examples:

        rta rebuild --empty

        rta rebuild --empty --shard 0
    """
    from rtaplatform.operations import rebuild_empty

    if not empty:
        raise SetupError(
            "A rebuild beside the live totals is not in this version.",
            "To empty the totals and count again from the log's start: rta rebuild --empty",
            exit_code=2,
        )
    connections = Connections(kafka=kafka, redis=redis, data_dir=data_dir)
    for line in rebuild_empty(connections.kafka_settings(), connections.store_settings(), shard):
        print(line, flush=True)
