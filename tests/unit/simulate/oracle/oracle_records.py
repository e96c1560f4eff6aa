"""Records for the oracle's tests, as short as the tests need them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from rtaplatform.simulate.oracle.oracle import ConsumedRecord, recount
from rtaplatform.simulate.oracle.oracle_truth import ProjectTruth, Truth

NOW = int(datetime(2026, 11, 22, 10, 0, tzinfo=UTC).timestamp() * 1000)
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


def make_consumed(
    value: bytes | None,
    timestamp: int | None = NOW,
    topic: str = "rta.events.web",
    partition: int = 0,
    key: bytes | None = b"demo:a-1",
    headers: tuple[tuple[str, bytes], ...] = (),
) -> ConsumedRecord:
    return ConsumedRecord(topic, partition, 0, timestamp, key, value, headers)


def make_message(**fields: Any) -> dict[str, Any]:
    """A good page call, with some fields changed."""
    good = {"projectId": "demo", "type": "page", "messageId": "m-1", "anonymousId": "a-1", "timestamp": format_iso(NOW)}
    return {**good, **fields}


def make_raw(at: int | None = NOW, /, **fields: Any) -> ConsumedRecord:
    return make_consumed(json.dumps(make_message(**fields)).encode(), at)


def track(event: str, properties: dict[str, Any], **fields: Any) -> ConsumedRecord:
    return make_raw(type="track", event=event, properties=properties, **fields)


def make_order(**properties: Any) -> ConsumedRecord:
    return track("Order Completed", properties)


def format_iso(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")


def find_truth(records: Iterable[ConsumedRecord], *, zone: str = "UTC", currency: str = "EUR") -> Truth:
    numbered = [record._replace(offset=offset) for offset, record in enumerate(records)]
    return recount(numbered, projects={"demo": {"zone": zone, "currency": currency}})


def count_project(*records: ConsumedRecord, zone: str = "UTC") -> ProjectTruth:
    return find_truth(records, zone=zone).projects["demo"]


def find_reason(record: ConsumedRecord) -> str | None:
    """Why the record is dead, None where it is not."""
    return find_truth([record]).dead.get(f"{record.topic}:0:0")
