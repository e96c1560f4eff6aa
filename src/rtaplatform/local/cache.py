"""Where things fetched once for all data directories are kept: RTA_CACHE_DIR, else the user's cache folder."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """The folder, which need not exist yet."""
    given = os.environ.get("RTA_CACHE_DIR")
    if given:
        return Path(given).expanduser().absolute()
    caches = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification: a relative path is to be ignored.
    folder = Path(caches) if caches.startswith("/") else Path.home() / ".cache"
    return folder / "rtaplatform"
