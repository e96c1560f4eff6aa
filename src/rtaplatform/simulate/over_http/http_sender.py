"""Send events to a collector over several connections.   simulate: http_run → [http_sender] → http_lane.

Promise: each event is acknowledged by the collector, or counted as unsent. The requests of one person stay in order.
Limits: queues are bounded, so a slow collector slows the run. Once a collector is given up, nobody waits for an answer
that is still due.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from queue import Empty, Full, Queue
from threading import Event, Lock, Thread
from zlib import crc32

from rtaplatform.core.errors import SetupError
from rtaplatform.simulate.over_http.collector_watch import CollectorWatch
from rtaplatform.simulate.over_http.http_lane import HttpLane, UnexpectedAnswer
from rtaplatform.simulate.over_http.sdk_events import SdkEvent
from rtaplatform.simulate.over_http.sdk_outbox import SdkOutbox
from rtaplatform.simulate.over_http.sdk_requests import SdkRequest

LANES = 8
_QUEUED_MAX = 32
_STEP_SECONDS = 0.1
_FLUSH_SECONDS_STOPPED = 3.5


class HttpSender:
    """Several connections, each with a thread of its own. `watch` hears of every answer."""

    def __init__(self, url: str, write_key: str, *, watch: CollectorWatch, is_stopped: Callable[[], bool]) -> None:
        self._watch, self._is_stopped = watch, is_stopped
        self._outbox = SdkOutbox(write_key)
        self._queues = [Queue[SdkRequest](_QUEUED_MAX) for _ in range(LANES)]
        self._gives_up, self._is_complete = Event(), Event()
        self._lock = Lock()
        self._failure = ""
        self._events_open = 0
        self._threads = [Thread(target=self._run, args=(url, queue), daemon=True) for queue in self._queues]
        for thread in self._threads:
            thread.start()

    def send(self, event: SdkEvent) -> bool:
        """Take one event, waiting while the queues are full. Returns False if the run was stopped meanwhile."""
        return self._enqueue(self._outbox.add(event, _read_clock_ms()))

    def serve(self) -> None:
        """Send what SDKs have held long enough; call it often. Raises SetupError if sending has failed for good."""
        self._raise_failure()
        self._enqueue(self._outbox.take_due(_read_clock_ms()))

    def finish(self) -> int:
        """Wait for all events. Returns how many have no answer, since the run was stopped or the collector given up."""
        self._enqueue(self._outbox.take_all())
        self._is_complete.set()
        give_up_at = None
        while any(thread.is_alive() for thread in self._threads):
            if self._is_stopped() or self._failure:
                give_up_at = give_up_at or time.monotonic() + _FLUSH_SECONDS_STOPPED
            if self._watch.is_lost or (give_up_at and time.monotonic() > give_up_at):
                self._gives_up.set()
                break  # a thread may wait for an answer for long, and ends with the process
            time.sleep(_STEP_SECONDS / 10)
        self._raise_failure()
        return self._events_open

    def _enqueue(self, requests: Iterable[SdkRequest]) -> bool:
        is_taken = True
        for request in requests:
            self._count(len(request.events))
            queue = self._queues[crc32(request.person.encode()) % LANES]
            while not self._put(queue, request):
                self._raise_failure()
                if self._is_stopped():
                    is_taken = False
                    break
        return is_taken

    @staticmethod
    def _put(queue: Queue[SdkRequest], request: SdkRequest) -> bool:
        try:
            queue.put(request, timeout=_STEP_SECONDS)
        except Full:
            return False
        return True

    def _run(self, url: str, queue: Queue[SdkRequest]) -> None:
        lane = HttpLane(
            url, wait=lambda seconds: not self._gives_up.wait(seconds), notice=self._watch.notice,
            answer_seconds_max=self._watch.away_seconds_max,
        )  # fmt: skip
        while True:
            try:
                request = queue.get(timeout=_STEP_SECONDS)
            except Empty:
                if self._is_complete.is_set():
                    return lane.close()
                continue
            try:
                if not self._gives_up.is_set() and lane.deliver(request):
                    self._count(-len(request.events))
            except UnexpectedAnswer as error:
                self._failure = self._failure or str(error)
                self._gives_up.set()

    def _count(self, events: int) -> None:
        with self._lock:
            self._events_open += events

    def _raise_failure(self) -> None:
        if self._failure:
            raise SetupError(
                f"The collector answered unexpectedly: {self._failure}",
                "Check --url and --write-key, then run it again.",
            )


def _read_clock_ms() -> int:
    return time.monotonic_ns() // 1_000_000
