"""Send calls at a fixed rate, whatever the answers: an open loop, as the visitors of a site are one.

A client that waits for its answer before it sends again slows down with the server, and hides how long others would
have waited. Here each call has its moment, and its time counts from that moment. A call takes an idle connection. If
none is idle, it follows the calls that wait on another (HTTP pipelining), so that no answer delays the next call.
With `rate` None the loop is closed: each connection sends again when it has its answer. This finds the greatest rate.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter, deque
from contextlib import suppress
from typing import cast

from msgspec import Struct, field

from rtaplatform.bench.collecting.collector_cost import make_event

TICK_SECONDS = 0.002
ANSWERED_SECONDS_MAX = 10.0  # after the last call; a call without an answer by then has none
NO_ANSWER = 0  # in place of a status
_NUMBER, _PERSON = "000000000000", "a-0000000"  # of fixed width, so that all calls are equally long
PERSONS = 1_000_000
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Load(Struct, frozen=True):
    """`rate`: calls a second; None: as many as are answered. `run` makes the ids of one run differ from another's."""

    host: str
    port: int
    key: str
    run: str
    rate: float | None
    seconds: float
    connections: int


class LoadOutcome(Struct):
    """What became of the calls. `accepted_in_window`: answered with 200 while calls were still being sent."""

    sent: int = 0
    accepted_in_window: int = 0
    statuses: Counter[int] = field(default_factory=Counter[int])
    taken: list[float] = []  # seconds, of each call that was answered with 200


def run_load(load: Load) -> LoadOutcome:
    """Send the load from this process."""
    return asyncio.run(_LoadSender(load).run())


class CallText:
    """The bytes of a call: encoded once, but for its message id and its person."""

    def __init__(self, load: Load) -> None:
        event = {**make_event(0), "messageId": f"{load.run}-{_NUMBER}", "anonymousId": _PERSON}
        body = json.dumps(event)
        head = (
            f"POST /v1/track HTTP/1.1\r\nHost: {load.host}:{load.port}\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {load.key}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        person, after_person = (head + body).split(json.dumps(_PERSON))  # a run's name may end with an a
        number, end = after_person.split(_NUMBER)
        self._parts = person.encode(), number.encode(), end.encode()

    def write(self, number: int) -> bytes:
        start, middle, end = self._parts
        return b'%b"a-%07d"%b%012d%b' % (start, number % PERSONS, middle, number, end)


class _LoadSender:
    """The connections, and what came of the calls so far."""

    def __init__(self, load: Load) -> None:
        self.load, self.outcome, self._text = load, LoadOutcome(), CallText(load)
        self.idle: list[_LoadConnection] = []
        self.busy: deque[_LoadConnection] = deque()
        self.end_s, self.answered_seconds = 0.0, ANSWERED_SECONDS_MAX
        self.news = asyncio.Event()
        self._opening = set[asyncio.Task[None]]()

    async def run(self) -> LoadOutcome:
        await asyncio.gather(*(self.open() for _ in range(self.load.connections)))
        start_s = time.perf_counter()
        self.end_s = start_s + self.load.seconds
        if self.load.rate is None:
            for connection in list(self.idle):
                self.send_again(connection)
            await asyncio.sleep(self.load.seconds)
        else:
            await self._send_at(self.load.rate, start_s)
        await self._wait_answered()
        return self.outcome

    async def open(self) -> None:
        """Open one connection; a server that takes none is asked again."""
        while True:
            try:
                await asyncio.get_running_loop().create_connection(
                    lambda: _LoadConnection(self), self.load.host, self.load.port
                )
                return
            except OSError:
                await asyncio.sleep(0.1)

    def replace(self, old_connection: _LoadConnection) -> None:
        """A connection was closed: its calls have no answer, and another takes its place."""
        self.outcome.statuses[NO_ANSWER] += len(old_connection.due)
        old_connection.due.clear()
        for connections in (self.idle, self.busy):
            if old_connection in connections:
                connections.remove(old_connection)
        self.news.set()
        if time.perf_counter() < self.end_s:
            task = asyncio.ensure_future(self.open())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    def note(self, connection: _LoadConnection, status: int, due_s: float) -> None:
        now = time.perf_counter()
        self.outcome.statuses[status] += 1
        if status == 200:
            self.outcome.taken.append(now - due_s)
            self.outcome.accepted_in_window += now <= self.end_s
        if not connection.due:
            self.news.set()
            self.busy.remove(connection)
            self.idle.append(connection)
            if self.load.rate is None and now < self.end_s:
                self.send_again(connection)

    def send_again(self, connection: _LoadConnection) -> None:
        self.idle.remove(connection)
        self._send(connection, time.perf_counter())

    async def _send_at(self, rate: float, start_s: float) -> None:
        calls = round(rate * self.load.seconds)
        while self.outcome.sent < calls:
            for _ in range(min(calls, int((time.perf_counter() - start_s) * rate) + 1) - self.outcome.sent):
                due_s = start_s + self.outcome.sent / rate
                while not self.idle and not self.busy:  # the server has closed all, and others are being opened
                    await self._wait_for_news()
                self._send(self.idle.pop() if self.idle else self.busy.popleft(), due_s)
            await asyncio.sleep(TICK_SECONDS)

    def _send(self, connection: _LoadConnection, due_s: float) -> None:
        self.busy.append(connection)
        connection.due.append(due_s)
        connection.transport.write(self._text.write(self.outcome.sent))
        self.outcome.sent += 1

    async def _wait_for_news(self) -> None:
        self.news.clear()
        await self.news.wait()

    async def _wait_answered(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self.answered_seconds):
                while self.busy:
                    await self._wait_for_news()
        self.end_s = 0.0
        for connection in [*self.idle, *self.busy]:
            connection.transport.abort()
        await asyncio.sleep(0.05)  # the calls of lost connections are counted


class _LoadConnection(asyncio.Protocol):
    """One connection, and when each call on it was due that has no answer yet, in their order."""

    transport: asyncio.Transport

    def __init__(self, sender: _LoadSender) -> None:
        self._sender, self._bytes, self.due = sender, b"", deque[float]()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's transports are of none of asyncio's classes
        self._sender.idle.append(self)
        self._sender.news.set()

    def connection_lost(self, error: Exception | None) -> None:
        self._sender.replace(self)

    def data_received(self, data: bytes) -> None:
        self._bytes += data
        while (body_start := self._bytes.find(b"\r\n\r\n") + 4) > 3:
            length = _LENGTH.search(self._bytes, 0, body_start)
            end = body_start + int(length[1] if length else 0)
            if len(self._bytes) < end:
                return
            status, self._bytes = int(self._bytes[9:12]), self._bytes[end:]
            self._sender.note(self, status, self.due.popleft())
