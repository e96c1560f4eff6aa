"""A proxy that knows where a client's call ends, and lets the n-th one fail: before it arrives, or after it was done.

It runs on the test's own event loop, one for each server that is proxied; `Plan` says what happens. A call is a Redis
command, or all that PostgreSQL's client sends up to a Sync. Signing in is not counted: it is there before any call.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from rtaplatform.local.data.ports import LOOPBACK

RESET, LOST, SILENT, DONE_SILENT = "reset", "lost answer", "no answer", "done, no answer"
CUTS = (RESET, LOST, SILENT, DONE_SILENT)
Split = Callable[[bytes], int]


@dataclass
class Plan:
    """The n-th call from now fails so: one of CUTS, or the bytes that are answered in its place.

    Only those that `concerns` are counted. `instead` says what the server gets then; its answer to that is dropped.
    """

    n: int = 0
    way: str | bytes = ""
    concerns: Callable[[bytes], bool] = lambda call: True
    instead: Callable[[bytes], bytes] = lambda call: b""
    calls: list[bytes] = field(default_factory=list)

    def choose_way(self, call: bytes) -> str | bytes:
        if not self.concerns(call):
            return ""
        self.calls.append(call)
        return self.way if len(self.calls) == self.n else ""


@dataclass
class Proxy:
    """Where it listens, and what it does from now on."""

    port: int
    plan: Plan


@asynccontextmanager
async def running_proxy(
    port: int, split: Callable[[], Split], is_call: Callable[[bytes], bool]
) -> AsyncIterator[Proxy]:
    """In front of a port of this machine. `split` makes what finds the length of the first whole call in a buffer."""
    new_proxy, tasks = Proxy(0, Plan()), set[asyncio.Task[None]]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await _Link(new_proxy, split(), is_call).carry(reader, writer, port)
        writer.transport.abort()
        tasks.discard(task)

    server = await asyncio.start_server(serve, LOOPBACK, 0)
    new_proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield new_proxy
    finally:
        server.close()
        for task in tasks:
            task.cancel()


class _Link:
    """One client's connection. Calls go on one by one, so that each answer belongs to the call before."""

    def __init__(self, proxy: Proxy, split: Split, is_call: Callable[[bytes], bool]) -> None:
        self._proxy, self._split, self._is_call = proxy, split, is_call
        self._cut_after_answer = self._is_mute = self._drops_one = False

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
        upstream, to_server = await asyncio.open_connection(LOOPBACK, port)
        answering = asyncio.create_task(self._answer(upstream, writer))
        buffer = b""
        try:
            while not writer.is_closing() and (chunk := await reader.read(1 << 16)):
                buffer += chunk
                while length := self._split(buffer):
                    call, buffer = buffer[:length], buffer[length:]
                    if not await self._pass(call, writer, to_server):
                        return
        finally:
            answering.cancel()
            to_server.transport.abort()

    async def _pass(self, call: bytes, writer: asyncio.StreamWriter, to_server: asyncio.StreamWriter) -> bool:
        """Whether the connection goes on."""
        way = self._proxy.plan.choose_way(call) if self._is_call(call) else ""
        if way == RESET:
            return False
        self._cut_after_answer = self._cut_after_answer or way == LOST
        self._is_mute = self._is_mute or way in (SILENT, DONE_SILENT)
        if isinstance(way, bytes):
            # Behind what was asked before: an answer may not overtake another.
            await asyncio.sleep(0.02)
            instead = self._proxy.plan.instead(call)
            self._drops_one = bool(instead)
            to_server.write(instead)
            writer.write(way)
        elif way != SILENT and not (self._is_mute and way != DONE_SILENT):
            to_server.write(call)
            await to_server.drain()
        return True

    async def _answer(self, upstream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await upstream.read(1 << 16):
                if self._cut_after_answer:
                    break
                if self._drops_one:
                    self._drops_one = False
                elif not self._is_mute:
                    writer.write(chunk)
                    await writer.drain()
        writer.transport.abort()


# Redis ---------------------------------------------------------------------------------------------------------------

_SIGNING_IN = (b"AUTH", b"HELLO", b"CLIENT", b"SELECT")


def make_redis_proxy(port: int) -> contextlib.AbstractAsyncContextManager[Proxy]:
    return running_proxy(port, lambda: _measure_redis_call, lambda call: read_command_name(call) not in _SIGNING_IN)


def read_command_name(call: bytes) -> bytes:
    """Of a Redis command, in capitals."""
    return call.split(b"\r\n", 3)[2].upper()


def _measure_redis_call(buffer: bytes) -> int:
    """An array of bulk strings; 0 where it is not whole yet."""
    head, ended, _ = buffer.partition(b"\r\n")
    if not ended:
        return 0
    at = len(head) + 2
    for _ in range(int(head[1:])):
        end = buffer.find(b"\r\n", at)
        if end < 0:
            return 0
        at = end + 2 + int(buffer[at + 1 : end]) + 2
    return at if len(buffer) >= at else 0


# PostgreSQL ----------------------------------------------------------------------------------------------------------


def make_postgres_proxy(port: int) -> contextlib.AbstractAsyncContextManager[Proxy]:
    return running_proxy(port, _PostgresLength, lambda call: call[:1] in b"QPBDE" and bool(call[:1]))


class _PostgresLength:
    """The first messages have no type; then a call is a Query, or everything up to a Sync."""

    def __init__(self) -> None:
        self._has_begun = False

    def __call__(self, buffer: bytes) -> int:
        if not self._has_begun:
            length = int.from_bytes(buffer[:4], "big") if len(buffer) >= 8 else 0
            self._has_begun = length != 8 and 0 < length <= len(buffer)  # 8: it asks for TLS first
            return length if 0 < length <= len(buffer) else 0
        at = 0
        while len(buffer) >= at + 5:
            kind, end = buffer[at : at + 1], at + 1 + int.from_bytes(buffer[at + 1 : at + 5], "big")
            if len(buffer) < end:
                return 0
            if kind in b"QSXp":
                return end
            at = end
        return 0
