"""Markers in answers that are no values, and how values that look like markers are escaped.   Pure.

`(none)` stands for a missing value, `(other)` for values without a seat in a full bucket (caps.py), `$page` and the
like for calls other than track. A value that looks like a marker gets a backslash before it; one that begins with
backslashes and then looks like a marker gets one more. So different values are never shown alike, and each can be used
in a query.
"""

from __future__ import annotations

import re

from rtaplatform.core.events import CALL_NAMES
from rtaplatform.core.rollups import OTHER
from rtaplatform.core.values.dimensions import as_dimension

NONE, OTHER_SHOWN = (
    "(none)",
    "(other)",
)  # as answers show them and queries name them

_MARKER = re.compile(r"\\*\((?:none|other)\)")
_CALL_NAME = re.compile(r"\\*\$(?:" + "|".join(name[1:] for name in CALL_NAMES.values()) + ")")


def to_track_name(event: str) -> str:
    """The name that a track call of this event is counted under; never the name of another call type."""
    return "\\" + event if event[:1] in "$\\" and _CALL_NAME.fullmatch(event) else event


def to_shown_value(stored_value: str) -> str:
    if stored_value == "":
        return NONE
    if stored_value == OTHER:
        return OTHER_SHOWN
    return "\\" + stored_value if stored_value[:1] in "(\\" and _MARKER.fullmatch(stored_value) else stored_value


def to_stored_value(shown_value: str) -> str:
    """The stored value of a shown one: the reverse of `to_shown_value`."""
    if shown_value == NONE:
        return ""
    if shown_value == OTHER_SHOWN:
        return OTHER
    return as_dimension(shown_value[1:] if shown_value[:1] == "\\" and _MARKER.fullmatch(shown_value) else shown_value)
