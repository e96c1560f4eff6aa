"""ETags of rows, and the conditions of requests.   Pure.

The tag is the version of the row. A sequence gives every change a new version, also after a row was deleted and created
again, so a tag never stands for two contents. Proxies that compress an answer alter its tag (`W/"1f"`, `"1f-gzip"`);
tags are compared by the version in them.
"""

from __future__ import annotations

import re

from msgspec import Struct

from rtaplatform.core.errors import PreconditionFailed

_TAGS = re.compile(r'(?:W/)?"([^"]*?)(?:--?(?:gzip|br|zstd|deflate))?"')


class Condition(Struct, frozen=True):
    """If-Match and If-None-Match: any version (`*`), or one of a set. None without the header."""

    required: frozenset[str] | None = None
    excluded: frozenset[str] | None = None

    def check(self, version: int | None) -> None:
        """Raise PreconditionFailed if the row does not meet the condition. `version` is None if there is no row."""
        if self.required is not None and not _match(self.required, version):
            raise PreconditionFailed("It is not the version that If-Match names.", field="If-Match")
        if self.excluded is not None and _match(self.excluded, version):
            hint = "Leave If-None-Match out to change it."
            raise PreconditionFailed("There is one that If-None-Match names.", field="If-None-Match", hint=hint)


def read_condition(if_match: str | None, if_none_match: str | None = None) -> Condition | None:
    """The condition in these headers, or None."""
    if if_match is None and if_none_match is None:
        return None
    return Condition(_read_versions(if_match), _read_versions(if_none_match))


def is_current(if_none_match: str | None, version: int) -> bool:
    """Whether the client already has this version."""
    return if_none_match is not None and _match(_read_versions(if_none_match) or frozenset(), version)


def make_etag(version: int) -> str:
    return f'"{version:x}"'


def _read_versions(header: str | None) -> frozenset[str] | None:
    if header is None:
        return None
    return frozenset({"*"} if header.strip() == "*" else {tag for tag in _TAGS.findall(header) if tag != "*"})


def _match(versions: frozenset[str], version: int | None) -> bool:
    return version is not None and ("*" in versions or f"{version:x}" in versions)
