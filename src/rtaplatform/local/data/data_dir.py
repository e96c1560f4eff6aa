"""The data directory of `rta up`: made, checked, and its demo keys.

MARKER          what makes a folder a data directory of ours
lock, run.json  who runs here (instance_file.py)
ports.json      the ports of the last run
keys.json       the demo project's keys; they stay the same
kafka/ valkey/ postgres/ logs/
"""

from __future__ import annotations

import json
import os
import shutil
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from rtaplatform.catalog.keys.key_format import make_key
from rtaplatform.core.errors import SetupError
from rtaplatform.local.data.instance_file import LOCK_FILE, RUN_FILE
from rtaplatform.local.data.private_files import read_object, write_private

MARKER = "rta-data.json"
VERSION = 1
DISK_BYTES_MIN = 1_000_000_000
MEMORY_BYTES_MIN = 1_000_000_000
LEFTOVER_SECONDS_MAX = 10.0


@dataclass(frozen=True)
class LocalDemoKeys:
    """The keys of the demo project; secrets, though only of this machine's demo."""

    write_key: str
    read_key: str
    admin_key: str


def open_data_dir(path: Path) -> Path:
    """The absolute path of a data directory that is ours, writable and has room. Raises SetupError."""
    folder = path.expanduser().absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        require_ours(folder)
        write_private(folder / MARKER, json.dumps({"version": VERSION}))
    except FileExistsError as error:
        raise SetupError(f"{folder} is a file.", "Name a folder with --data-dir.") from error
    except OSError as error:
        raise SetupError(
            f"{folder} cannot be used: {error.strerror}.", "Name a folder that you can write to with --data-dir."
        ) from error
    require_disk(folder)
    return folder


def require_ours(folder: Path) -> None:
    """Raise SetupError where the folder is not one that this user and this version may use."""
    if folder.stat().st_uid != os.geteuid():
        raise SetupError(
            f"{folder} belongs to another user ({folder.owner()}).",
            "Start as that user, or name another folder with --data-dir.",
        )
    entries = {entry.name for entry in folder.iterdir()}
    marker = read_object(folder / MARKER)
    if entries - {LOCK_FILE} and MARKER not in entries:
        raise SetupError(
            f"{folder} has other things in it, and was not made by `rta up`.", "Name a new folder with --data-dir."
        )
    if MARKER in entries and marker.get("version") != VERSION:
        raise SetupError(
            f"{folder} is of version {marker.get('version', 'unknown')}, this program knows {VERSION}.",
            "Start the version that made it, or name another folder with --data-dir.",
        )


def require_disk(folder: Path) -> None:
    """Raise SetupError where less than DISK_BYTES_MIN are free."""
    free = shutil.disk_usage(folder).free
    if free < DISK_BYTES_MIN:
        raise SetupError(
            f"Only {free / 1e6:.0f} MB are free on the disk of {folder}; {DISK_BYTES_MIN / 1e6:.0f} MB are needed.",
            "Make room, or name a folder on another disk with --data-dir.",
        )


def require_memory() -> None:
    """Raise SetupError where less than MEMORY_BYTES_MIN are available."""
    available = available_memory()
    if available < MEMORY_BYTES_MIN:
        raise SetupError(
            f"Only {available / 1e6:.0f} MB of memory are available; {MEMORY_BYTES_MIN / 1e6:.0f} MB are needed.",
            "End other programs, or use servers elsewhere: --kafka, --redis, --postgres.",
        )


def available_memory() -> int:
    """Bytes available on the machine, or in our control group where that has less."""
    available = int(psutil.virtual_memory().available)
    with suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        limit, used = ((group / name).read_text().strip() for name in ("memory.max", "memory.current"))
        # What the group's page cache holds can be had back.
        cached = int(dict(line.split() for line in (group / "memory.stat").read_text().splitlines())["file"])
        available = min(available, int(limit) - int(used) + cached)
    return available


def demo_keys(folder: Path) -> LocalDemoKeys:
    """The demo project's keys, made on first use."""
    path = folder / "keys.json"
    kept = read_object(path)
    if kept.keys() != {"write_key", "read_key", "admin_key"}:
        kept = {f"{kind}_key": make_key(kind) for kind in ("write", "read", "admin")}
        write_private(path, json.dumps(kept, indent=1))
    return LocalDemoKeys(**kept)


def end_leftovers(folder: Path, seconds: float = LEFTOVER_SECONDS_MAX) -> None:
    """Wait for children of an instance that was killed, and end those that stay. Call it with the lock held."""
    kept = read_object(folder / RUN_FILE)
    before = [_leftover(folder, pid) for pid in kept.get("children", {}).values()]
    processes = [process for process in before if process]
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    for process in alive:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=seconds)
    with suppress(FileNotFoundError):
        (folder / RUN_FILE).unlink()


def _leftover(folder: Path, pid: int) -> psutil.Process | None:
    """The process, if it is one that an earlier instance started: older than the file that names it, in our folder."""
    try:
        process = psutil.Process(pid)
        older = process.create_time() <= (folder / RUN_FILE).stat().st_mtime + 1
        return process if older and folder in Path(process.cwd(), "x").parents else None
    except (psutil.Error, OSError):
        return None


def now_text() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def keys_of(folder: Path) -> dict[str, str]:
    """The demo keys as the ready file has them."""
    return asdict(demo_keys(folder))
