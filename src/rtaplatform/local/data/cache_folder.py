"""The folder for downloads that all data directories share: the configured one, or the user's cache folder."""

from __future__ import annotations

import os
from pathlib import Path


def find_cache_folder(configured: Path | None) -> Path:
    """The folder, absolute; it need not exist yet."""
    if configured:
        return configured.expanduser().absolute()
    caches = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification says to ignore a relative path.
    folder = Path(caches) if caches.startswith("/") else Path.home() / ".cache"
    return folder / "rtaplatform"
