"""When an event happened, by our clock.   Pure.

A client's clock is corrected by receivedAt − sentAt, where that is more than 30 s (less is the network's latency) and
less than a day (more is an old export, sent again). On a retry `sentAt` may be as old as the first try: then only a
clock that is ahead is corrected, since nothing is sent in the future. A time that is later than its own sending is
impossible, and so unreadable.
"""

from __future__ import annotations

from rtaplatform.collect.body.draft import Draft
from rtaplatform.collect.body.json_reading import read_client_time
from rtaplatform.core.events import FUTURE_MS_MAX
from rtaplatform.core.time.buckets import DAY_MS, RETENTION_MS, BucketKind
from rtaplatform.core.time.timestamps import iso_utc

CLOCKS_DISAGREE_MS = 30_000
CLOCKS_ARE_COMPARED_MS = DAY_MS
UNREADABLE_TIME = "unreadable_time"


def set_times(draft: Draft) -> str | None:
    """Set `timestamp`, `originalTimestamp` and what follows of them; the field of a time that is ahead of ours."""
    values, call = draft.values, draft.call
    name = next((name for name in ("timestamp", "originalTimestamp") if values.get(name) is not None), None)
    # A batch's own time changes when it is built again, and dedup looks for the same one: it is no event's own.
    draft.fields["originalTimestamp"] = draft.fields[name] if name else None
    said = values[name] if name else call.time
    event_ms = _event_ms(draft, said)
    if event_ms is None:
        event_ms = call.received_ms
        draft.marks = draft.marks if said is None else [*draft.marks, UNREADABLE_TIME]
    if event_ms > call.received_ms + FUTURE_MS_MAX:
        return name or "timestamp"
    draft.is_late = event_ms + RETENTION_MS[BucketKind.DAY] <= call.received_ms
    draft.fields["timestamp"] = iso_utc(max(event_ms, 0))
    return None


def _event_ms(draft: Draft, said: object) -> int | None:
    client_ms = read_client_time(said)
    if client_ms is None:
        return None
    sent_ms = read_client_time(draft.values.get("sentAt"))
    sent_ms = draft.call.sent_at_ms if sent_ms is None else sent_ms
    if sent_ms is None:
        return client_ms
    if client_ms > sent_ms + FUTURE_MS_MAX:
        return None
    return client_ms + _skew_ms(draft.call.received_ms - sent_ms, is_retry=draft.call.is_retry)


def _skew_ms(ahead_ms: int, *, is_retry: bool) -> int:
    """How far our clock is ahead of the client's; 0 where they agree, or where nobody knows."""
    if not CLOCKS_DISAGREE_MS < abs(ahead_ms) < CLOCKS_ARE_COMPARED_MS or (is_retry and ahead_ms > 0):
        return 0
    return ahead_ms
