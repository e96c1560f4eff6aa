"""Events as records on Kafka, exactly as docs/reference/record.md says.   simulate: traffic → [records] → sender.

Limits: times are written in UTC with milliseconds.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from random import Random
from typing import Any, NamedTuple

import msgspec

TOPIC_OF_SOURCE = {
    "web": "rta.events.web",
    "ios": "rta.events.mobile",
    "android": "rta.events.mobile",
    "server": "rta.events.server",
}
TOPICS = ("rta.events.web", "rta.events.mobile", "rta.events.server")


class SimulatedRecord(NamedTuple):
    """A record before it is sent. `timestamp` is in ms; a `value` of None is a tombstone."""

    topic: str
    key: bytes
    value: bytes | None
    timestamp: int
    headers: tuple[tuple[str, bytes], ...] = ()


encode = msgspec.json.Encoder().encode


def encode_record(message: dict[str, Any], topic: str, timestamp: int) -> SimulatedRecord:
    """Return the record of a message that names a project and a person."""
    person = message.get("anonymousId") or message["userId"]
    return SimulatedRecord(topic, f"{message['projectId']}:{person}".encode(), encode(message), timestamp)


def draw_message_id(rng: Random, salt: int) -> str:
    """Return 128 seeded bits in the form of a version 4 UUID."""
    bits = f"{rng.getrandbits(128) ^ salt:032x}"
    return f"{bits[:8]}-{bits[8:12]}-4{bits[13:16]}-a{bits[17:20]}-{bits[20:]}"


def write_time(time_ms: int) -> str:
    """Return the time as ISO 8601 in UTC, with milliseconds."""
    minute, remainder_ms = divmod(time_ms, 60_000)
    seconds, millis = divmod(remainder_ms, 1000)
    return f"{_write_minute(minute)}{seconds:02d}.{millis:03d}Z"


@lru_cache(maxsize=4096)
def _write_minute(minute: int) -> str:
    return datetime.fromtimestamp(minute * 60, UTC).strftime("%Y-%m-%dT%H:%M:")
