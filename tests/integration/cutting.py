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
Split = Callable[[bytes], int]  # the length of the first whole call, or answer, in a buffer; 0 where none is whole yet


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
    port: int, make_links_split: Callable[[], tuple[Split, Split | None]], is_call: Callable[[bytes], bool]
) -> AsyncIterator[Proxy]:
    """In front of a port of this machine.

    `make_links_split` makes what splits the calls of one connection, and the answers, of which each call has one; None
    where a client waits for each answer before its next call.
    """
    new_proxy, tasks = Proxy(0, Plan()), set[asyncio.Task[None]]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await _Link(new_proxy, *make_links_split(), is_call).carry(reader, writer, port)
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

    def __init__(
        self, proxy: Proxy, split: Split, split_answers: Split | None, is_call: Callable[[bytes], bool]
    ) -> None:
        self._proxy, self._split, self._split_answers, self._is_call = proxy, split, split_answers, is_call
        self._cut_after_answer = self._is_mute = False
        self._missing_answers = self._answers_to_drop = 0
        self._has_all_answers = asyncio.Event()

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
            await self._wait_for_answers()  # none may overtake another
            if instead := self._proxy.plan.instead(call):
                self._answers_to_drop = 1
                await self._send(instead, to_server)
                await self._wait_for_answers()  # the next one is not dropped
            writer.write(way)
        elif way != SILENT and not (self._is_mute and way != DONE_SILENT):
            await self._send(call, to_server)
        return True

    async def _send(self, call: bytes, to_server: asyncio.StreamWriter) -> None:
        if self._split_answers is not None:
            self._missing_answers += 1
            self._has_all_answers.clear()
        to_server.write(call)
        await to_server.drain()

    async def _wait_for_answers(self) -> None:
        if self._missing_answers:
            await self._has_all_answers.wait()

    async def _answer(self, upstream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        buffer = b""
        with contextlib.suppress(OSError):
            while chunk := await upstream.read(1 << 16):
                if self._cut_after_answer:
                    break
                buffer += chunk
                passed_on, buffer = self._select_answers(buffer)
                if not self._is_mute:
                    writer.write(passed_on)
                    await writer.drain()
        self._has_all_answers.set()
        writer.transport.abort()

    def _select_answers(self, buffer: bytes) -> tuple[bytes, bytes]:
        """What the client gets now, and what is not whole yet."""
        if self._split_answers is None:
            return buffer, b""
        passed_on = b""
        while length := self._split_answers(buffer):
            if self._answers_to_drop:
                self._answers_to_drop -= 1
            else:
                passed_on += buffer[:length]
            buffer = buffer[length:]
            self._missing_answers -= 1
        if not self._missing_answers:
            self._has_all_answers.set()
        return passed_on, buffer


# Redis ---------------------------------------------------------------------------------------------------------------

_SIGNING_IN = (b"AUTH", b"HELLO", b"CLIENT", b"SELECT")


def make_redis_proxy(port: int) -> contextlib.AbstractAsyncContextManager[Proxy]:
    splits = _measure_redis_call, _measure_redis_answer
    return running_proxy(port, lambda: splits, lambda call: read_command_name(call) not in _SIGNING_IN)


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


def _measure_redis_answer(buffer: bytes) -> int:
    """A value of RESP 2 or 3; 0 where it is not whole yet."""
    at, values = 0, 1
    while values:
        line_end = buffer.find(b"\r\n", at)
        if line_end < 0:
            return 0
        kind, size = buffer[at : at + 1], buffer[at + 1 : line_end]
        at, values = line_end + 2, values - 1
        if kind in b"$=!":
            at += int(size) + 2 if int(size) >= 0 else 0
        elif kind in b"*~>%":
            values += max(0, int(size)) * (2 if kind == b"%" else 1)
    return at if len(buffer) >= at else 0


# PostgreSQL ----------------------------------------------------------------------------------------------------------


def make_postgres_proxy(port: int) -> contextlib.AbstractAsyncContextManager[Proxy]:
    return running_proxy(port, lambda: (_PostgresLength(), None), lambda call: call[:1] in b"QPBDE" and bool(call[:1]))


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
