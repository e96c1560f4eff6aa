"""A connection to the store that is closed while nobody looks: an outage for each client of ours, and no bug.

uvloop, on which the API runs, raises RuntimeError when somebody writes to such a connection.
"""

from __future__ import annotations

import pytest
import redis.asyncio as aioredis

from rtaplatform.core.errors import Unavailable
from rtaplatform.local.servers.valkey import Valkey
from rtaplatform.store.redis.connections import connect_async, connect_subscriber
from rtaplatform.store.redis.redis_errors import translating_errors
from tests.integration.servers import Running

TIMEOUT_SECONDS = 2.0


def _open_clients(url: str) -> dict[str, aioredis.Redis]:
    return {
        "of questions": connect_async(url, TIMEOUT_SECONDS, seconds_max=60.0),
        "of a subscriber": connect_subscriber(url, TIMEOUT_SECONDS),
    }


@pytest.mark.parametrize("name", ["of questions", "of a subscriber"])
async def test_a_write_to_a_closed_connection_is_an_outage(valkey_server: Running[Valkey], name: str) -> None:
    client = _open_clients(valkey_server.server.make_url("rta"))[name]
    connection = await client.connection_pool.get_connection()  # type: ignore[no-untyped-call]
    connection._writer.transport.abort()
    with pytest.raises(Unavailable, match="closed"), translating_errors():
        await connection.send_command("PING")
    await client.connection_pool.release(connection)
    assert await client.ping(), "the client opens a new connection"
    await client.aclose()


async def test_another_runtime_error_stays_what_it_is(valkey_server: Running[Valkey]) -> None:
    client = connect_async(valkey_server.server.make_url("rta"), TIMEOUT_SECONDS, seconds_max=60.0)
    connection = await client.connection_pool.get_connection()  # type: ignore[no-untyped-call]

    def raise_bug(_command: object) -> None:
        raise RuntimeError("a bug")

    connection._writer.writelines = raise_bug
    with pytest.raises(RuntimeError, match="a bug"), translating_errors():
        await connection.send_command("PING")
    await client.aclose()
