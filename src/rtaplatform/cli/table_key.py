"""A key for the live table of `rta up`: the demo project's own, or one that is made for another project and revoked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from pydantic import SecretStr

from rtaplatform.core.errors import Unavailable
from rtaplatform.local.platform import Instance
from rtaplatform.settings import CatalogSettings

if TYPE_CHECKING:
    from rtaplatform.operate.project_operations import ReadingKey

DEMO = "demo"
RENEWED_SECONDS = 12 * 3_600.0  # half of its life


@contextmanager
def reading_key(instance: Instance, project: str) -> Iterator[Callable[[], str]]:
    """Inside, what returns a key that reads the project's numbers. Raises SetupError where there is no such project."""
    if project == DEMO:
        yield lambda: instance.keys.read_key
        return
    made = _TableKey(CatalogSettings(url=SecretStr(instance.addresses.postgres)), project)
    made.renew()
    try:
        yield made.current
    finally:
        made.revoke()


class _TableKey:
    def __init__(self, catalog: CatalogSettings, project: str) -> None:
        self._catalog, self._project = catalog, project
        self._made_at = 0.0
        self._key: ReadingKey | None = None

    def renew(self) -> None:
        from rtaplatform.operate.project_operations import make_reading_key

        self._key = asyncio.run(make_reading_key(self._catalog, self._project))
        self._made_at = time.monotonic()

    def current(self) -> str:
        if time.monotonic() - self._made_at > RENEWED_SECONDS:
            with suppress(Unavailable):
                self.renew()
        return self._key.key if self._key else ""

    def revoke(self) -> None:
        """Where PostgreSQL is away, it ends by itself within a day."""
        from rtaplatform.operate.project_operations import revoke_reading_key

        if self._key is not None:
            with suppress(Unavailable):
                asyncio.run(revoke_reading_key(self._catalog, self._project, self._key))
