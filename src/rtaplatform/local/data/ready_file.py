"""The ready file: exists while the platform is ready; holds address, keys and servers (docs/reference/record.md)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from rtaplatform.core.errors import SetupError
from rtaplatform.local.data.data_dir import LocalDemoKeys
from rtaplatform.local.data.instance_file import (
    InstanceAddresses,
)
from rtaplatform.local.data.private_files import write_private


def require_writable(ready_file: Path | None) -> None:
    """Raise SetupError if the ready file cannot be written. Checked before anything is started."""
    if ready_file is None:
        return
    folder = ready_file.absolute().parent
    if not folder.is_dir():
        raise SetupError(
            f"The folder of --ready-file {ready_file} does not exist.", f"Create it: {folder}", exit_code=2
        )
    if not os.access(folder, os.W_OK) or ready_file.is_dir():
        raise SetupError(f"--ready-file {ready_file} cannot be written.", "Name another file.", exit_code=2)


@contextmanager
def without_stale_ready_file(path: Path | None) -> Iterator[None]:
    """Remove the ready file now, before the platform is ready, and again at the end."""
    remove_file(path)
    try:
        yield
    finally:
        remove_file(path)


def remove_file(path: Path | None) -> None:
    if path:
        with suppress(FileNotFoundError):
            path.unlink()


def write_ready_file(path: Path | None, url: str, keys: LocalDemoKeys, addresses: InstanceAddresses) -> None:
    """Raises SetupError."""
    if path is None:
        return
    content = {"url": url, "project": "demo", **asdict(keys)}
    content |= {"kafka": addresses.kafka, "redis": addresses.redis, "postgres": addresses.postgres}
    try:
        write_private(path.absolute(), json.dumps(content))
    except OSError as error:
        raise SetupError(f"The ready file {path} cannot be written: {error.strerror}.", "Name another path.") from error
