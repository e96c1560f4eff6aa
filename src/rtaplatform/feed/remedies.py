"""What to do about each reason for which an event is refused or becomes a dead letter.   Pure."""

from __future__ import annotations

from collections.abc import Mapping

from rtaplatform.core.events import EVENT_BYTES_MAX, KEYS_MAX, NESTING_MAX, Reason
from rtaplatform.core.values.ids import ID_BYTES_MAX

REMEDIES: Mapping[Reason, str] = {
    Reason.TOO_LARGE: f"Send events of at most {EVENT_BYTES_MAX} bytes: leave out large properties.",
    Reason.EMPTY: "A record without a value is no event. Its producer should not write it.",
    Reason.NOT_UTF8: "Encode the event as UTF-8.",
    Reason.TOO_DEEP: f"Nest objects and lists at most {NESTING_MAX} deep.",
    Reason.TOO_MANY_KEYS: f"Give an object at most {KEYS_MAX} keys.",
    Reason.NOT_JSON: "Send valid JSON: no NaN, no unescaped control characters, nothing behind the object.",
    Reason.NOT_AN_OBJECT: "An event is a JSON object.",
    Reason.MISSING_PROJECT: "A producer to Kafka names the project in `projectId`, as text.",
    Reason.UNKNOWN_PROJECT: "Create the project with this slug, or correct `projectId` in the producer; then replay.",
    Reason.INVALID_FIELD: "Correct the field that `detail` names.",
    Reason.UNKNOWN_TYPE: "`type` is one of track, page, screen, identify, group, alias.",
    Reason.MISSING_EVENT: "A track call names its `event`.",
    Reason.MISSING_IDENTITY: "Send an `anonymousId`, a `userId`, or both.",
    Reason.ID_TOO_LONG: f"Ids have at most {ID_BYTES_MAX} bytes.",
    Reason.TIME_IN_FUTURE: "Set the sender's clock. A replay counts the event once its time has come.",
    Reason.INTERNAL: "A bug of ours: install a version that can count the record, then replay.",
}


def find_remedy(reason: str) -> str | None:
    """The remedy for a reason; None for a reason that this version does not know."""
    return next((remedy for name, remedy in REMEDIES.items() if name == reason), None)
