"""A key for the live table of `rta up`: that of the demo project, or a temporary one for another project."""

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
RENEWAL_SECONDS = 12 * 3_600.0  # half of its life


@contextmanager
def reading_key(instance: Instance, project: str) -> Iterator[Callable[[], str]]:
    """Yields a function that returns a key for the project's numbers. Raises SetupError if there is no such project."""
    if project == DEMO:
        yield lambda: instance.keys.read_key
        return
    key = _TableKey(CatalogSettings(url=SecretStr(instance.addresses.postgres)), project)
    key.renew()
    try:
        yield key.renew_and_read
    finally:
        key.revoke()


class _TableKey:
    def __init__(self, catalog: CatalogSettings, project: str) -> None:
        self._catalog, self._project = catalog, project
        self._created_at = 0.0
        self._key: ReadingKey | None = None

    def renew(self) -> None:
        from rtaplatform.operate.project_operations import make_reading_key

        self._key = asyncio.run(make_reading_key(self._catalog, self._project))
        self._created_at = time.monotonic()

    def renew_and_read(self) -> str:
        if time.monotonic() - self._created_at > RENEWAL_SECONDS:
            with suppress(Unavailable):
                self.renew()
        return self._key.key if self._key else ""

    def revoke(self) -> None:
        """Revoke the key. If PostgreSQL is away, it expires within a day."""
        from rtaplatform.operate.project_operations import revoke_reading_key

        if self._key is not None:
            with suppress(Unavailable):
                asyncio.run(revoke_reading_key(self._catalog, self._project, self._key))
