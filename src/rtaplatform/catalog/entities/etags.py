"""ETags of rows, and what a request demands of them.   Pure.

The tag is the row's version, which a sequence gives anew for every change: a row that was deleted and made again has
another one, so a tag never stands for two contents. Proxies that compress an answer mark its tag (`W/"1f"`,
`"1f-gzip"`); the version is still the same, so tags are compared by that.
"""

from __future__ import annotations

import re

from msgspec import Struct

from rtaplatform.core.errors import PreconditionFailed

_TAGS = re.compile(r'(?:W/)?"([^"]*?)(?:--?(?:gzip|br|zstd|deflate))?"')


class Condition(Struct, frozen=True):
    """If-Match and If-None-Match: any version (`*`), or one of these. None where the header is not there."""

    wanted: frozenset[str] | None = None
    unwanted: frozenset[str] | None = None

    def check(self, version: int | None) -> None:
        """Raise PreconditionFailed where the row is another one; `version` is None where there is no row."""
        if self.wanted is not None and not _names(self.wanted, version):
            raise PreconditionFailed("It is not the version that If-Match names.", field="If-Match")
        if self.unwanted is not None and _names(self.unwanted, version):
            hint = "Leave If-None-Match out to change it."
            raise PreconditionFailed("There is one that If-None-Match names.", field="If-None-Match", hint=hint)


def read_condition(if_match: str | None, if_none_match: str | None = None) -> Condition | None:
    """The condition of these headers; None where there is none."""
    if if_match is None and if_none_match is None:
        return None
    return Condition(_read_versions(if_match), _read_versions(if_none_match))


def is_known(if_none_match: str | None, version: int) -> bool:
    """Whether the client has this version already."""
    return if_none_match is not None and _names(_read_versions(if_none_match) or frozenset(), version)


def etag_of(version: int) -> str:
    return f'"{version:x}"'


def _read_versions(header: str | None) -> frozenset[str] | None:
    if header is None:
        return None
    return frozenset({"*"} if header.strip() == "*" else {one for one in _TAGS.findall(header) if one != "*"})


def _names(versions: frozenset[str], version: int | None) -> bool:
    return version is not None and ("*" in versions or f"{version:x}" in versions)
