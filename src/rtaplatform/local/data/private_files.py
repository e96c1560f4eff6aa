"""Small private files of the data directory: written completely or not at all, and readable only by their owner."""

from __future__ import annotations

import json
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any


def write_private(path: Path, text: str) -> None:
    """Write `text` with mode 0600 by rename, so that a reader sees the whole old file or the whole new one.

    If the disk is full, nothing is left behind. Raises OSError.
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
    """The JSON object in `path`. Empty if there is none, or if it cannot be read."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def keep_secret(path: Path) -> str:
    """The random secret in `path`. Created on first use."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, secrets.token_urlsafe(32))
    return path.read_text().strip()
