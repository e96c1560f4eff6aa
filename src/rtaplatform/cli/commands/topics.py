"""`rta topics`: what there is of each topic, how far it is counted, and accepting one that has changed."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from rtaplatform.cli.connections import Connections, DataDirOption, KafkaOption, RedisOption

app = typer.Typer(no_args_is_help=True, help="List topics; accept a re-created or truncated one.")


@app.command("list")
def list_topics(
    kafka: KafkaOption = None,
    redis: RedisOption = None,
    data_dir: DataDirOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Each partition: where the log begins and ends, how far each shard has counted it, and why it stands still.

    Examples:

        rta topics list

        rta topics list --json
    """
    from rtaplatform.operate.operations import describe_topics

    connections = Connections(kafka=kafka, redis=redis, data_dir=data_dir)
    rows = describe_topics(connections.kafka_settings(), connections.store_settings())
    print(json.dumps(rows) if as_json else _table(rows), flush=True)


@app.command()
def adopt(
    topic: Annotated[str, typer.Argument(help="The topic that was re-created, truncated, or cut by its retention.")],
    kafka: KafkaOption = None,
    redis: RedisOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Accept a topic as it is now: counting goes on where its log can be read, and the gap is written down.

    Examples:

        rta topics adopt rta.events.web
    """
    from rtaplatform.operate.operations import adopt_topic

    connections = Connections(kafka=kafka, redis=redis, data_dir=data_dir)
    for line in adopt_topic(connections.kafka_settings(), connections.store_settings(), topic):
        print(line, flush=True)


def _table(rows: list[dict[str, Any]]) -> str:
    lines = [f"{'partition':24} {'begins':>10} {'ends':>10}  counted up to"]
    for row in rows:
        counted = ", ".join(f"shard {shard}: {offset}" for shard, offset in row["counted"].items())
        stop = f"   STOPPED: {row['stopped']}" if row["stopped"] else ""
        lines.append(f"{row['partition']:24} {row['begins']:>10} {row['ends']:>10}  {counted}{stop}")
        lines += [f"{'':24} gap at {where}: {gap}" for where, gap in row["gaps"].items()]
    return "\n".join(lines)
