"""`rta migrate`: bring catalog, topics, functions and shards to this version. Safe to repeat."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated

import typer

from rtaplatform.cli.connections import Connections, DataDirOption, KafkaOption, PostgresOption, RedisOption
from rtaplatform.core.errors import SetupError


def command(
    demo: Annotated[bool, typer.Option("--demo", help="Also create the demo project.")] = False,
    replace_demo_keys: Annotated[
        bool,
        typer.Option("--replace-demo-keys", help="With --demo: replace the keys of a demo project that has others."),
    ] = False,
    kafka: KafkaOption = None,
    redis: RedisOption = None,
    postgres: PostgresOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Migrate PostgreSQL, create the topics, load the functions, begin the shards. Existing data stays.

    Examples:

        rta migrate

        rta migrate --kafka broker:9092 --redis redis://host:6379/0 --postgres postgresql://user:password@host/rta
    """
    from rtaplatform.operate.operations import migrate
    from rtaplatform.operate.project_operations import require_own_demo_keys
    from rtaplatform.settings import TopicSettings

    connections = Connections(kafka=kafka, redis=redis, postgres=postgres, data_dir=data_dir)
    demo_keys, catalog = _read_demo_keys() if demo else None, connections.read_catalog_settings()
    if demo_keys and not replace_demo_keys:
        asyncio.run(require_own_demo_keys(catalog, demo_keys))
    lines = asyncio.run(
        migrate(
            connections.read_kafka_settings(),
            connections.store_settings(),
            catalog,
            TopicSettings(),
            demo_keys=demo_keys,
        )
    )
    for line in lines:
        print(line, flush=True)


def _read_demo_keys() -> tuple[str, str, str]:
    names = ("RTA_DEMO_WRITE_KEY", "RTA_DEMO_READ_KEY", "RTA_DEMO_ADMIN_KEY")
    keys = tuple(os.environ.get(name, "") for name in names)
    if not all(keys):
        raise SetupError("--demo needs the keys of the demo project.", f"Set {', '.join(names)}.", exit_code=2)
    return keys[0], keys[1], keys[2]
