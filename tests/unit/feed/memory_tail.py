"""A tail in memory: what a test appends is what the feed reads."""

from __future__ import annotations

import threading

import msgspec

from rtaplatform.core.errors import PlatformError
from rtaplatform.core.events import EVENT_TOPICS
from rtaplatform.stream.port import Partition, TailPortion, TailRecord

WEB = next(iter(EVENT_TOPICS))
NOW_MS = 1_795_000_000_000


def record(value: object, offset: int = 0, *, topic: str = WEB, **headers: str) -> TailRecord:
    """A record of partition 0. Its headers are named with `_` for `-`."""
    raw = value if isinstance(value, bytes) else msgspec.json.encode(value)
    named = {name.replace("_", "-"): text.encode() for name, text in headers.items()}
    return TailRecord(Partition(topic, 0), offset, NOW_MS + offset, b"demo:me", raw, named)


def make_event(name: str = "Signed Up", **fields: object) -> dict[str, object]:
    return {"projectId": "demo", "type": "track", "event": name, "anonymousId": "me", "messageId": name} | fields


class MemoryTail:
    """`RecordTail`: `open` reads what was appended before, `poll` what is appended later."""

    def __init__(self) -> None:
        self.opened = self.closed = 0
        self.problem: PlatformError | None = None
        self._portions: list[TailPortion] = []
        self._changed = threading.Condition()

    def append(self, *records: TailRecord, skipped: int = 0) -> None:
        with self._changed:
            self._portions.append(TailPortion(records, skipped, is_at_end=True))
            self._changed.notify_all()

    def open(self, last: int) -> None:
        if self.problem is not None:
            raise self.problem
        self.opened += 1

    def poll(self, seconds: float) -> TailPortion:
        if self.problem is not None:
            raise self.problem
        with self._changed:
            self._changed.wait_for(lambda: bool(self._portions), min(seconds, 0.01))
            return self._portions.pop(0) if self._portions else TailPortion((), is_at_end=True)

    def close(self) -> None:
        self.closed += 1
