"""What GA4's Measurement Protocol says of a request at `/debug/mp/collect`: why our steps would refuse events.   Pure.

Paths and codes are those of Google. The description is ours, and ends with our reason.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rtaplatform.collect.body.draft import DraftRefused
from rtaplatform.core.events import Reason

VALIDATION_CODES: dict[Reason, str] = {
    Reason.MISSING_EVENT: "VALUE_REQUIRED",
    Reason.MISSING_IDENTITY: "VALUE_REQUIRED",
    Reason.TOO_LARGE: "EXCEEDED_MAX_ENTITIES",
    Reason.TOO_DEEP: "EXCEEDED_MAX_ENTITIES",
    Reason.TOO_MANY_KEYS: "EXCEEDED_MAX_ENTITIES",
    Reason.ID_TOO_LONG: "VALUE_OUT_OF_BOUNDS",
    Reason.TIME_IN_FUTURE: "VALUE_OUT_OF_BOUNDS",
}
ANY_OTHER_CODE = "VALUE_INVALID"
_OF_REQUEST = {"anonymousId": "client_id", "userId": "user_id"}
_OF_EVENT = {"event": "name", "timestamp": "timestamp_micros", "properties": "params"}


def describe_refusals(refusals: Iterable[tuple[int, DraftRefused]]) -> list[dict[str, Any]]:
    """The messages, each once. A refusal comes with the place of its event; below 0 are the user properties."""
    messages = (
        (
            _find_path(place, refusal.field),
            f"{refusal.detail} ({refusal.reason.value})",
            VALIDATION_CODES.get(refusal.reason, ANY_OTHER_CODE),
        )
        for place, refusal in refusals
    )
    names = ("fieldPath", "description", "validationCode")
    return [dict(zip(names, message, strict=True)) for message in dict.fromkeys(messages)]


def _find_path(place: int, field: str | None) -> str:
    if field in _OF_REQUEST:
        return _OF_REQUEST[field]
    if place < 0:
        return "user_properties"
    member = _OF_EVENT.get((field or "").partition(".")[0])
    return f"events[{place}].{member}" if member is not None else f"events[{place}]"
