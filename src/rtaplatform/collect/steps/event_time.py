"""When an event happened, by the server's clock.   Pure.

A client's clock is corrected by receivedAt − sentAt if that is more than 30 s (less is network latency) and less than
a day (more is an old export that is sent again). On a retry, `sentAt` may be as old as the first try. Then only a clock
that is ahead is corrected, since nothing is sent in the future. An event time later than `sentAt` is impossible, and
counts as unreadable.
"""

from __future__ import annotations

from typing import Any

from rtaplatform.collect.body.draft import Draft
from rtaplatform.collect.body.json_reading import read_client_time
from rtaplatform.core.events import FUTURE_MS_MAX
from rtaplatform.core.time.buckets import DAY_MS, RETENTION_MS, BucketKind
from rtaplatform.core.time.timestamps import format_iso_utc

CLOCKS_DISAGREE_MS = 30_000
CLOCKS_ARE_COMPARED_MS = DAY_MS
UNREADABLE_TIME = "unreadable_time"


def set_times(draft: Draft) -> str | None:
    """Set `timestamp`, `originalTimestamp` and marks. Return the name of the field if its time is in the future."""
    values, fields, request = draft.values, draft.fields, draft.request
    name = _find_own_time(values)
    # Dedup needs the same own time in a repeat, and the batch's time changes when a client builds the batch again.
    fields["originalTimestamp"] = fields[name] if name else None
    client_time = values[name] if name else request.time
    if client_time is None:
        fields["timestamp"] = request.received_at
        return None
    event_ms = _find_event_ms(draft, client_time)
    if event_ms is None:
        event_ms = request.received_ms
        draft.marks = [*draft.marks, UNREADABLE_TIME]
    if event_ms > request.received_ms + FUTURE_MS_MAX:
        return name or "timestamp"
    draft.is_late = event_ms + RETENTION_MS[BucketKind.DAY] <= request.received_ms
    fields["timestamp"] = format_iso_utc(max(event_ms, 0))
    return None


def _find_own_time(values: dict[str, Any]) -> str | None:
    """The name of the field with the event's own time."""
    if values.get("timestamp") is not None:
        return "timestamp"
    return "originalTimestamp" if values.get("originalTimestamp") is not None else None


def _find_event_ms(draft: Draft, client_time: object) -> int | None:
    client_ms = read_client_time(client_time)
    if client_ms is None:
        return None
    sent_ms = read_client_time(draft.values.get("sentAt"))
    sent_ms = draft.request.sent_at_ms if sent_ms is None else sent_ms
    if sent_ms is None:
        return client_ms
    if client_ms > sent_ms + FUTURE_MS_MAX:
        return None
    return client_ms + _compute_skew_ms(draft.request.received_ms - sent_ms, is_retry=draft.request.is_retry)


def _compute_skew_ms(ahead_ms: int, *, is_retry: bool) -> int:
    """How far our clock is ahead of the client's; 0 if they agree, or if it cannot be known."""
    if not CLOCKS_DISAGREE_MS < abs(ahead_ms) < CLOCKS_ARE_COMPARED_MS or (is_retry and ahead_ms > 0):
        return 0
    return ahead_ms
