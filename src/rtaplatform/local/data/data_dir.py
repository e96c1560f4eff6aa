"""The data directory of `rta up`: create and check it, and keep its demo keys.

MARKER          marks a folder as one of our data directories
lock, run.json  the instance that runs here (instance_file.py)
ports.json      the ports of the last run
keys.json       the keys of the demo project, which never change
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
    """The keys of the demo project; secrets, though only for the demo on this machine."""

    write_key: str
    read_key: str
    admin_key: str


def open_data_dir(path: Path) -> Path:
    """Create or open a data directory. Returns its absolute path. Raises SetupError if it cannot be used."""
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
    """Raise SetupError if this user or this version may not use the folder."""
    if folder.stat().st_uid != os.geteuid():
        raise SetupError(
            f"{folder} belongs to another user ({folder.owner()}).",
            "Start as that user, or name another folder with --data-dir.",
        )
    entries = {entry.name for entry in folder.iterdir()}
    marker = read_object(folder / MARKER)
    if entries - {LOCK_FILE} and MARKER not in entries:
        raise SetupError(
            f"{folder} has other files in it, and `rta up` did not create it.", "Name a new folder with --data-dir."
        )
    if MARKER in entries and marker.get("version") != VERSION:
        raise SetupError(
            f"{folder} has version {marker.get('version', 'unknown')}; this program needs {VERSION}.",
            "Start the version that created it, or name another folder with --data-dir.",
        )


def require_disk(folder: Path) -> None:
    """Raise SetupError if less than DISK_BYTES_MIN are free."""
    free = shutil.disk_usage(folder).free
    if free < DISK_BYTES_MIN:
        raise SetupError(
            f"Only {free / 1e6:.0f} MB are free on the disk of {folder}; {DISK_BYTES_MIN / 1e6:.0f} MB are needed.",
            "Make room, or name a folder on another disk with --data-dir.",
        )


def require_memory() -> None:
    """Raise SetupError if less than MEMORY_BYTES_MIN are available."""
    available = measure_available_memory()
    if available < MEMORY_BYTES_MIN:
        raise SetupError(
            f"Only {available / 1e6:.0f} MB of memory are available; {MEMORY_BYTES_MIN / 1e6:.0f} MB are needed.",
            "End other programs, or use servers elsewhere: --kafka, --redis, --postgres.",
        )


def measure_available_memory() -> int:
    """Bytes available on the machine, or in our control group if it has less."""
    available = int(psutil.virtual_memory().available)
    with suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        limit, used_bytes = ((group / name).read_text().strip() for name in ("memory.max", "memory.current"))
        # The page cache of the group can be reclaimed.
        cached = int(dict(line.split() for line in (group / "memory.stat").read_text().splitlines())["file"])
        available = min(available, int(limit) - int(used_bytes) + cached)
    return available


def provide_demo_keys(folder: Path) -> LocalDemoKeys:
    """The keys of the demo project. Created on first use."""
    path = folder / "keys.json"
    keys = read_object(path)
    if keys.keys() != {"write_key", "read_key", "admin_key"}:
        keys = {f"{kind}_key": make_key(kind) for kind in ("write", "read", "admin")}
        write_private(path, json.dumps(keys, indent=1))
    return LocalDemoKeys(**keys)


def end_leftovers(folder: Path, seconds: float = LEFTOVER_SECONDS_MAX) -> None:
    """Wait for the children of an instance that was killed, and kill those that stay. Call it with the lock held."""
    run_file = read_object(folder / RUN_FILE)
    leftovers = [_find_leftover(folder, pid) for pid in run_file.get("children", {}).values()]
    processes = [process for process in leftovers if process]
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    for process in alive:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=seconds)
    with suppress(FileNotFoundError):
        (folder / RUN_FILE).unlink()


def _find_leftover(folder: Path, pid: int) -> psutil.Process | None:
    """The process, if an earlier instance started it: it is older than the file that names it, and in our folder."""
    try:
        process = psutil.Process(pid)
        is_older = process.create_time() <= (folder / RUN_FILE).stat().st_mtime + 1
        return process if is_older and folder in Path(process.cwd(), "x").parents else None
    except (psutil.Error, OSError):
        return None


def write_time() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def read_demo_keys(folder: Path) -> dict[str, str]:
    """The demo keys, with the names of the ready file."""
    return asdict(provide_demo_keys(folder))
