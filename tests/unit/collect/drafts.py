"""Helpers for the tests of the collector's steps: events and batches as drafts."""

from __future__ import annotations

import json
from typing import Any

from rtaplatform.collect.body.draft import DraftRefused
from rtaplatform.collect.body.envelope import RequestArrival, draft_batch, draft_single, read_batch
from rtaplatform.collect.steps.steps import run_steps
from rtaplatform.core.time.timestamps import read_time_ms

NOW = "2026-11-22T10:00:00.541Z"
NOW_MS = read_time_ms(NOW) or 0
CRAWLER = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
TRACK = {"event": "Product Viewed", "anonymousId": "a-17", "messageId": "m-1"}


def make_arrival(**changes: Any) -> RequestArrival:
    return RequestArrival(received_ms=NOW_MS, **changes)


def collect_or_refuse(event: Any, kind: str = "track", **changes: Any) -> dict[str, Any] | DraftRefused:
    body = event if isinstance(event, bytes) else json.dumps(event).encode()
    taken, refused = run_steps([draft_single(body, kind, "demo", make_arrival(**changes))], {})
    return json.loads(taken[0].value) if taken else refused[0]


def collect_one(event: Any, kind: str = "track", **changes: Any) -> dict[str, Any]:
    record = collect_or_refuse(event, kind, **changes)
    assert isinstance(record, dict), record
    return record


def collect_batch(body: dict[str, Any], **changes: Any) -> tuple[list[dict[str, Any]], list[DraftRefused]]:
    return collect_batch_bytes(json.dumps(body).encode(), **changes)


def collect_batch_bytes(body: bytes, **changes: Any) -> tuple[list[dict[str, Any]], list[DraftRefused]]:
    ready, refused = run_steps(draft_batch(read_batch(body), "demo", make_arrival(**changes)), {})
    return [json.loads(draft.value) for draft in ready], refused
