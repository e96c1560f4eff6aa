"""Thousands of live clients in one event loop: SSE streams and sockets, as cheap as possible.

A client looks for nothing but totals in the bytes that come. It counts probes: events of one name, which every question
asks for. When its connection ends it connects again, as clients do.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from collections import defaultdict
from contextlib import suppress
from urllib.parse import quote, urlsplit

from rtaplatform.bench.live.frames import mask_frame

QUESTIONS = 10
CONNECTING_MAX = 100
RETRY_S_MAX = 2.0
PONG_S = 8.0
READ_BYTES = 1 << 16
_TOTAL = re.compile(rb'"total":(\d+)')
_KEPT_BYTES = 32  # of the last read, since a total may be cut in two


class LiveCrowd:
    """All clients. `arrivals[n]` holds when each client has seen the n-th probe, by `perf_counter`."""

    def __init__(self, url: str, key: str, event: str) -> None:
        address = urlsplit(url)
        self._host, self._port = address.hostname or "", address.port or 80
        self._key, self._event = key, event
        self._connecting = asyncio.Semaphore(CONNECTING_MAX)
        self._change = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.connected: set[int] = set()
        self.arrivals: dict[int, dict[int, float]] = defaultdict(dict)

    async def open(self, streams: int, sockets: int) -> None:
        """Open the clients and wait until each has its first answers."""
        for number in range(streams + sockets):
            is_socket = number >= streams
            self._tasks.append(asyncio.create_task(self._stay_connected(number, is_socket=is_socket)))
        await self.wait_connected()

    async def wait_connected(self) -> None:
        while len(self.connected) < len(self._tasks):
            await self._wait_for_change()

    async def wait_arrived(self, probe: int, seconds: float) -> list[float]:
        """Wait until every client has seen the probe. Returns the times. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while len(self.arrivals[probe]) < len(self._tasks):
                await self._wait_for_change()
        return list(self.arrivals[probe].values())

    async def _wait_for_change(self) -> None:
        self._change.clear()
        await self._change.wait()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _stay_connected(self, number: int, *, is_socket: bool) -> None:
        while True:
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._connect(number, is_socket=is_socket)
            self.connected.discard(number)
            await asyncio.sleep(random.uniform(0, RETRY_S_MAX))  # jitter

    async def _connect(self, number: int, *, is_socket: bool) -> None:
        async with self._connecting:
            reader, writer = await asyncio.open_connection(self._host, self._port)
            writer.write(
                self.write_socket_request() if is_socket else self.write_stream_request(self._choose_question(number))
            )
            await reader.readuntil(b"\r\n\r\n")
        beats = asyncio.create_task(self._send_pongs(writer)) if is_socket else None
        try:
            if is_socket:
                for question in range(QUESTIONS):
                    writer.write(self.write_subscription(question))
            await self._read(number, reader)
        finally:
            if beats is not None:
                beats.cancel()
            writer.close()

    async def _read(self, number: int, reader: asyncio.StreamReader) -> None:
        tail, newest_probe = b"", 0
        while data := await reader.read(READ_BYTES):
            now, text = time.perf_counter(), tail + data
            tail = text[-_KEPT_BYTES:]
            totals = [int(total) for total in _TOTAL.findall(text)]
            if totals:
                self.connected.add(number)
                for probe in range(newest_probe + 1, max(totals) + 1):
                    self.arrivals[probe].setdefault(number, now)
                newest_probe = max(newest_probe, *totals)
                self._change.set()

    @staticmethod
    async def _send_pongs(writer: asyncio.StreamWriter) -> None:
        while True:
            await asyncio.sleep(PONG_S)
            writer.write(mask_frame(b'{"type":"pong"}'))

    def _choose_question(self, number: int) -> str:
        interval = "&interval=minute" if number % 2 else ""
        return f"metrics=events&event={quote(self._event)}&from=-{1 + number % QUESTIONS}h{interval}"

    def write_stream_request(self, question: str) -> bytes:
        return self._request(f"/v1/live?{question}", "")

    def write_socket_request(self) -> bytes:
        upgrade = (
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        )
        return self._request("/v1/live/ws", upgrade)

    def write_subscription(self, number: int) -> bytes:
        interval = {"interval": "minute"} if number % 2 else {}
        query = {"metric": "events", "filters": {"event": [self._event]}, "from": f"-{1 + number}h", **interval}
        return mask_frame(json.dumps({"type": "subscribe", "id": f"q{number}", "query": query}).encode())

    def _request(self, path: str, more: str) -> bytes:
        head = f"GET {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\nAuthorization: Bearer {self._key}\r\n"
        return f"{head}{more}\r\n".encode()
