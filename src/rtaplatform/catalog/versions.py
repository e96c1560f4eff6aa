"""ETags of rows, and what a request demands of them.   Pure.

The tag is the row's version, which a sequence gives anew for every change: a row that was deleted and made again has
another one, so a tag never stands for two contents.
"""

from __future__ import annotations

import re

from msgspec import Struct

from rtaplatform.core.errors import PreconditionFailed

_TAGS = re.compile(r'(?:W/)?"[^"]*"')


class Condition(Struct, frozen=True):
    """If-Match: any version (`*`), or one of these tags. Weak tags never match."""

    tags: frozenset[str]

    def check(self, version: int | None) -> None:
        """Raise PreconditionFailed where the row is another one; `version` is None where there is no row."""
        if version is None or not ("*" in self.tags or etag_of(version) in self.tags):
            raise PreconditionFailed("It is not the version that If-Match names.", field="If-Match")


def read_condition(header: str | None) -> Condition | None:
    """The condition of an If-Match header; None where there is no header."""
    if header is None:
        return None
    return Condition(frozenset({"*"} if header.strip() == "*" else _TAGS.findall(header)))


def etag_of(version: int) -> str:
    return f'"{version:x}"'
