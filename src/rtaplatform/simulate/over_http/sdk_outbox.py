"""The events that SDKs hold until they send them together.   Pure.   simulate: http_run → [sdk_outbox] → sdk_requests.

A page sends at once, apart from what happens at nearly the same time. An app waits for some seconds, and a server for
one, unless there are many events before.
"""

from __future__ import annotations

from typing import NamedTuple

from rtaplatform.simulate.over_http.sdk_events import SdkEvent
from rtaplatform.simulate.over_http.sdk_requests import SdkRequest, make_requests


class Patience(NamedTuple):
    """How long an SDK holds events, and how many at most."""

    wait_ms: int
    events_max: int


PATIENCE = {"web": Patience(250, 10), "app": Patience(10_000, 20), "server": Patience(1_000, 100)}


class _HeldEvents(NamedTuple):
    since_ms: int
    events: list[SdkEvent]


class SdkOutbox:
    """Events by their sender. Times are milliseconds of any clock that does not go back."""

    def __init__(self, write_key: str) -> None:
        self._write_key = write_key
        self._held_events: dict[str, dict[str, _HeldEvents]] = {kind: {} for kind in PATIENCE}

    def add(self, event: SdkEvent, now_ms: int) -> list[SdkRequest]:
        """Hold an event. Return the requests of its sender, if it holds as many as it may."""
        kind = event.source if event.source in PATIENCE else "app"
        sender = "" if kind == "server" else event.person
        group = self._held_events[kind].setdefault(sender, _HeldEvents(now_ms, []))
        group.events.append(event)
        if len(group.events) < PATIENCE[kind].events_max:
            return []
        del self._held_events[kind][sender]
        return make_requests(group.events, self._write_key)

    def take_due(self, now_ms: int) -> list[SdkRequest]:
        """Return the requests of all senders that have waited long enough."""
        requests = list[SdkRequest]()
        for kind, senders in self._held_events.items():
            # The senders of one kind stand in the order in which they began to wait.
            while senders and next(iter(senders.values())).since_ms + PATIENCE[kind].wait_ms <= now_ms:
                requests += make_requests(senders.pop(next(iter(senders))).events, self._write_key)
        return requests

    def take_all(self) -> list[SdkRequest]:
        """Return the requests of all senders."""
        groups = [group.events for senders in self._held_events.values() for group in senders.values()]
        for senders in self._held_events.values():
            senders.clear()
        return [request for events in groups for request in make_requests(events, self._write_key)]
