"""A disk that was full leaves a file that Valkey can read: whoever looks after the server sees to it."""

from __future__ import annotations

import secrets
from pathlib import Path

import redis

from rtaplatform.local.data.ports import keep_ports
from rtaplatform.local.servers.valkey import Valkey
from tests.chaos.disks import Disk, enter_namespace
from tests.integration.chaos import wait_until
from tests.integration.servers import TESTER, start_server

VALUE = b"x" * 1_000


def is_refused(client: redis.Redis) -> bool:
    try:
        client.mset({secrets.token_hex(8): VALUE for _ in range(100)})
    except redis.RedisError as error:
        return "MISCONF" in str(error)
    return False


def test_what_was_written_after_a_full_disk_is_there_after_the_next_start(tmp_path: Path) -> None:
    enter_namespace()
    disk = Disk.mount(tmp_path / "valkey")
    port = keep_ports(tmp_path / "ports.json", ["valkey"])["valkey"]
    valkey = start_server(Valkey(tmp_path / "valkey", port, extra_users={TESTER: "~* &* +@all"}), tmp_path)
    try:
        with redis.Redis.from_url(valkey.server.make_url(TESTER)) as client:

            def persistence(name: str) -> object:
                return client.info("persistence")[name]

            client.bgrewriteaof()  # the file that is begun by it is the one that gets holes
            wait_until(lambda: not persistence("aof_rewrite_in_progress"), "the rewrite")
            disk.fill()
            wait_until(lambda: is_refused(client), "a full disk")
            valkey.server.maintain()
            disk.free()
            wait_until(lambda: persistence("aof_last_write_status") == "ok", "a disk with room")
            client.set("after", VALUE)
            valkey.server.maintain()
            wait_until(lambda: not persistence("aof_rewrite_in_progress"), "the rewrite")
            keys = client.dbsize()
        valkey.restart()
        with redis.Redis.from_url(valkey.server.make_url(TESTER)) as client:
            assert (client.get("after"), client.dbsize()) == (VALUE, keys)
    finally:
        valkey.stop()
        disk.unmount()
