"""Words in answers that are no values, and values that read like them.   Pure.

`(none)` stands for what is missing, `(other)` for what has no seat in a full bucket (caps.py), `$page` and its like for
calls that are no track. A value that reads like one of them has a backslash before it, and one that begins with
backslashes and then reads like one has one more: so that no two values are shown alike, and each can be asked for.
"""

from __future__ import annotations

import re

from rtaplatform.core.events import CALL_NAMES
from rtaplatform.core.rollups import OTHER
from rtaplatform.core.values.dimensions import dimension

NONE, OTHER_SHOWN = "(none)", "(other)"  # how an empty value and the rest of a full bucket are shown, and asked for

_MARKER = re.compile(r"\\*\((?:none|other)\)")
_CALL_NAME = re.compile(r"\\*\$(?:" + "|".join(name[1:] for name in CALL_NAMES.values()) + ")")


def track_name(event: str) -> str:
    """The name that a track call of this event is counted under: never that of another call."""
    return "\\" + event if event[:1] in "$\\" and _CALL_NAME.fullmatch(event) else event


def shown_value(stored: str) -> str:
    if stored == "":
        return NONE
    if stored == OTHER:
        return OTHER_SHOWN
    return "\\" + stored if stored[:1] in "(\\" and _MARKER.fullmatch(stored) else stored


def stored_value(shown: str) -> str:
    """What is asked for as it is kept: the other way round."""
    if shown == NONE:
        return ""
    if shown == OTHER_SHOWN:
        return OTHER
    return dimension(shown[1:] if shown[:1] == "\\" and _MARKER.fullmatch(shown) else shown)
