"""Where things fetched once for all data directories are kept: the folder given, else the user's cache folder."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(given: Path | None) -> Path:
    """The folder, absolute; it need not exist yet."""
    if given:
        return given.expanduser().absolute()
    caches = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification: a relative path is to be ignored.
    folder = Path(caches) if caches.startswith("/") else Path.home() / ".cache"
    return folder / "rtaplatform"
