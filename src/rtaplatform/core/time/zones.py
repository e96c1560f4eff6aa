"""The time zones of the IANA database, the same on every machine.   Pure.

They are read from the `tzdata` package, never from the machine. A zone that only some machines have (`localtime`, or
one that a release has added) would end a worker, or give two workers different buckets for the same log.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo

# This zone exists in the database, but means that no zone was chosen.
_NO_PLACE = frozenset({"Factory"})


@cache
def list_zone_names() -> frozenset[str]:
    """The names that a project, a user or a question may have."""
    return frozenset(files("tzdata").joinpath("zones").read_text("utf-8").split()) - _NO_PLACE


def is_known_zone(name: object) -> bool:
    return isinstance(name, str) and name in list_zone_names()


@cache
def load_zone(name: str) -> ZoneInfo:
    """The zone of this name. An unknown name is read as UTC by workers and readers, so it stops neither.

    Names are checked when they are set. An unknown name was stored by another version, and a rebuild corrects it.
    """
    with files("tzdata").joinpath("zoneinfo", *(name if is_known_zone(name) else "UTC").split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)
