"""The time zones of the IANA database, the same on every machine.   Pure.

They are read from the `tzdata` package, never from the machine: what one machine knows and another does not
(`localtime`, a zone that a release has added) would end a worker, or give one log two sets of buckets.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo

# A zone of that name exists, but it is no place: it tells that none was chosen.
_NO_PLACE = frozenset({"Factory"})


@cache
def zone_names() -> frozenset[str]:
    """The names that a project, a user or a question may have."""
    return frozenset(files("tzdata").joinpath("zones").read_text("utf-8").split()) - _NO_PLACE


def is_known_zone(name: object) -> bool:
    return isinstance(name, str) and name in zone_names()


@cache
def load_zone(name: str) -> ZoneInfo:
    """The zone of that name. An unknown one is UTC, for workers and readers alike: it stops nobody.

    Names are checked where they come in. An unknown one was stored by another version, and a rebuild corrects it.
    """
    with files("tzdata").joinpath("zoneinfo", *(name if is_known_zone(name) else "UTC").split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)
