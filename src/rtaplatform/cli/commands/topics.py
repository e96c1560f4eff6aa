"""`rta topics`: list topics and how far they are counted; accept a topic that has changed."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from rtaplatform.cli.connections import Connections, DataDirOption, JsonOption, KafkaOption, RedisOption

app = typer.Typer(no_args_is_help=True, help="List topics; accept a re-created or truncated one.")


@app.command("list")
def list_topics(
    kafka: KafkaOption = None,
    redis: RedisOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the partitions: the ends of the log, how far each shard has counted it, and why it is stopped.

    Examples:

        rta topics list

        rta topics list --json
    """
    from rtaplatform.operate.operations import describe_topics

    connections = Connections(kafka=kafka, redis=redis, data_dir=data_dir)
    rows = describe_topics(connections.read_kafka_settings(), connections.store_settings())
    print(json.dumps(rows) if as_json else _format_table(rows), flush=True)


@app.command()
def adopt(
    topic: Annotated[str, typer.Argument(help="The topic that was re-created, truncated, or cut by its retention.")],
    kafka: KafkaOption = None,
    redis: RedisOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Accept a topic as it is now: counting continues where its log can be read, and the gap is recorded.

    Examples:

        rta topics adopt rta.events.web
    """
    from rtaplatform.operate.operations import adopt_topic

    connections = Connections(kafka=kafka, redis=redis, data_dir=data_dir)
    for line in adopt_topic(connections.read_kafka_settings(), connections.store_settings(), topic):
        print(line, flush=True)


def _format_table(rows: list[dict[str, Any]]) -> str:
    lines = [f"{'partition':24} {'begins':>10} {'ends':>10}  counted up to"]
    for row in rows:
        offsets = ", ".join(f"shard {shard}: {offset}" for shard, offset in row["counted"].items())
        stop = f"   STOPPED: {row['stopped']}" if row["stopped"] else ""
        lines.append(f"{row['partition']:24} {row['begins']:>10} {row['ends']:>10}  {offsets}{stop}")
        lines += [f"{'':24} gap at {position}: {gap}" for position, gap in row["gaps"].items()]
    return "\n".join(lines)
