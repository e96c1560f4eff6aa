"""The dashboard's built files, as package data in `serve/pages`.   Stage 6 of 6.

They are read once, at the start. `index.html` is the shell of every page. The names of all other files contain a hash
of their content, so a browser may keep them for ever. A tab from before an upgrade gets a 404 for a name that is gone,
never another file. `built.json` describes the build and is not served.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from msgspec import Struct

from rtaplatform.serve.http.static_files import StaticFile, make_static_file

MEDIA_TYPES = {
    "css": "text/css",
    "js": "text/javascript",
    "json": "application/json",
    "png": "image/png",
    "svg": "image/svg+xml",
    "webmanifest": "application/manifest+json",
    "woff2": "font/woff2",
}
SHELL = "index.html"
UNKNOWN_BUILD = "none"


class DashboardFiles(Struct, frozen=True):
    """The shell, the assets by name, and a name of the build. Without a build there is no shell."""

    shell: StaticFile | None = None
    assets: Mapping[str, StaticFile] = {}
    build: str = UNKNOWN_BUILD


@lru_cache(maxsize=1)
def read_dashboard() -> DashboardFiles:
    """Read the files of this package."""
    return read_folder(files("rtaplatform.serve") / "pages")


def read_folder(folder: Traversable) -> DashboardFiles:
    shell = folder / SHELL
    if not shell.is_file():
        return DashboardFiles()
    content, assets = shell.read_bytes(), dict(_read_assets(folder / "assets"))
    build = hashlib.sha256(content + "".join(sorted(assets)).encode()).hexdigest()[:12]
    return DashboardFiles(make_static_file(content, "text/html"), assets, build)


def _read_assets(folder: Traversable) -> Iterator[tuple[str, StaticFile]]:
    if not folder.is_dir():
        return
    for file in folder.iterdir():
        media_type = MEDIA_TYPES.get(file.name.rpartition(".")[2])
        if media_type is not None and file.is_file():
            yield file.name, make_static_file(file.read_bytes(), media_type)
