"""PgBouncer in transaction mode before the session's PostgreSQL, as a process of the test's own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from rtaplatform.local.data.ports import LOOPBACK

PROGRAM_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
START_SECONDS_MAX = 20.0
_CONFIG = """
[databases]
rta = host={host} port={port} dbname=rta user={user} password={password}
[pgbouncer]
listen_addr = {listen}
listen_port = {own_port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
"""


def find_pgbouncer() -> str | None:
    return shutil.which("pgbouncer", path=PROGRAM_PATH)


@contextmanager
def running_pooler(url: str, folder: Path) -> Iterator[str]:
    """The URL through a pooler of transactions that runs meanwhile. Its log is in `folder`."""
    program, server = find_pgbouncer(), urlsplit(url)
    assert program is not None
    with socket.create_server((LOOPBACK, 0)) as reserved:
        port = reserved.getsockname()[1]
    config = folder / "pgbouncer.ini"
    config.write_text(
        _CONFIG.format(
            host=server.hostname, port=server.port, user=server.username, password=server.password, listen=LOOPBACK,
            own_port=port,
        )
    )  # fmt: skip
    # It refuses root. It has read its file before it becomes somebody else.
    user = ("-u", "nobody") if os.geteuid() == 0 else ()
    with (folder / "pgbouncer.log").open("ab") as log:
        process = subprocess.Popen([program, *user, str(config)], stdout=log, stderr=log)
    try:
        _wait(process, port, folder)
        yield f"postgresql://{server.username}:{server.password}@{LOOPBACK}:{port}/rta"
    finally:
        process.terminate()
        process.wait(10)


def _wait(process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while True:
        try:
            socket.create_connection((LOOPBACK, port), timeout=1).close()
            return
        except OSError:
            log_text = (folder / "pgbouncer.log").read_text()
            assert process.poll() is None, log_text
            assert time.monotonic() < deadline, log_text
            time.sleep(0.05)
