"""Small private files of the data directory: written whole or not at all, readable to their owner alone."""

from __future__ import annotations

import json
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any


def write_private(path: Path, text: str) -> None:
    """Write `text` with mode 0600 by rename, so that a reader sees the old file or the new one, whole.

    Where there is no room nothing is left behind. Raises OSError.
    """
    new = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError:
        with suppress(OSError):
            new.unlink()
        raise


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; empty where there is none, or none that can be read."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def secret_of(path: Path) -> str:
    """The random secret kept in `path`, made on first use."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, secrets.token_urlsafe(32))
    return path.read_text().strip()
