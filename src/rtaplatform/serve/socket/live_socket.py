"""One live socket: reads messages, runs subscriptions, and watches whether it may go on.   Stage 6 of 6.

All tasks of a socket are in one group: when one ends the socket, the others end too. The socket ends when

- the client leaves, takes nothing, or answers no heartbeat (4408);
- the key is revoked, or the ticket's hour is over (4401);
- its place was given to somebody who has fewer, or a message is too large (4429, 1009);
- the process stops, or the socket has reached its age limit (1012). The client connects again and resumes.

The last message, `bye`, tells how long to wait before the next attempt. The time is random, so that clients do not
all come back at once.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any, NoReturn

from litestar import WebSocket
from litestar.exceptions import HTTPException

from rtaplatform.analytics.live.hub import LiveSeat
from rtaplatform.analytics.live.listener_bell import ListenerBell
from rtaplatform.catalog.keys.key_rows import KeyAccess
from rtaplatform.core.errors import Busy, InvalidParameter, PlatformError, Unauthorized, Unavailable
from rtaplatform.serve.http.access import take
from rtaplatform.serve.http.dependencies import find_dependencies, require_feeds, require_query_services
from rtaplatform.serve.http.limits import READ
from rtaplatform.serve.query.key_watch import KeyLease
from rtaplatform.serve.query.live_admission import NEW_TICKET, TICKET_IS_OVER, LiveAdmission
from rtaplatform.serve.query.live_rendering import LiveRenderer
from rtaplatform.serve.socket.feed_on_socket import send_feed
from rtaplatform.serve.socket.socket_line import SocketGone, SocketLine, forget_frames
from rtaplatform.serve.socket.socket_messages import (
    MESSAGE_BYTES_MAX,
    Pong,
    Subscribe,
    SubscribeFeed,
    WrongMessage,
    read_message,
    write_bye,
    write_error,
    write_heartbeat,
    write_hello,
)
from rtaplatform.serve.socket.subscription import Subscription, write_answers

HEARTBEAT_S = 10.0
SILENCE_S_MAX = 25.0  # since the client's last message
SUBSCRIPTIONS_MAX = 32
MESSAGES_PER_SECOND = 20  # further ones wait
RETRY_S = (1.0, 5.0)
OUTAGE_RETRY_S = 1.0
TOO_LARGE, RESTART, LATER, KEY, FORBIDDEN, SILENT, LIMIT = 1009, 1012, 1013, 4401, 4403, 4408, 4429

AnySocket = WebSocket[Any, Any, Any]


class LiveSocket:
    def __init__(self, socket: AnySocket, line: SocketLine, access: KeyAccess, admission: LiveAdmission) -> None:
        self._socket, self._line, self._access, self._admission = socket, line, access, admission
        self._parts = find_dependencies(socket)
        self._services = require_query_services(self._parts)
        self._now = asyncio.get_running_loop().time
        self._heard_at = self._now()
        self._bell = ListenerBell()
        self._subscriptions: dict[str, asyncio.Task[None]] = {}
        self.seat = LiveSeat(access.key_id, "websocket", self._bell.ring)

    async def run(self, build: str, lease: KeyLease) -> None:
        """Serve until the socket ends. Raises ExceptionGroup for a bug."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._end_with(lease), name="socket lease")
                await self._line.say(write_hello(build, HEARTBEAT_S))
                group.create_task(self._read(group), name="socket reader")
                group.create_task(self._watch(lease), name="socket watch")
        except BaseExceptionGroup as end:
            if (bugs := end.split(SocketGone)[1]) is not None:
                raise bugs from None
            forget_frames(end)

    # reading ---------------------------------------------------------------------------------------------------------

    async def _read(self, group: asyncio.TaskGroup) -> None:
        free_at = self._now() - 1
        while True:
            text = await self._receive()
            self._heard_at = self._now()
            try:
                message = read_message(text)
            except WrongMessage as wrong:
                await self._line.say(write_error(wrong.id, wrong.problem))
            else:
                if isinstance(message, Pong):
                    continue
                await self._unsubscribe(message.id)
                if isinstance(message, Subscribe | SubscribeFeed):
                    await self._subscribe(message, group)
            free_at = max(free_at, self._now() - 1) + 1 / MESSAGES_PER_SECOND
            await asyncio.sleep(max(0.0, free_at - self._now()))

    async def _receive(self) -> str:
        message: Any = await self._socket.receive()
        if message["type"] != "websocket.receive":
            raise SocketGone
        text: str | None = message.get("text")
        content: bytes = message.get("bytes") or b"" if text is None else text.encode(errors="surrogatepass")
        if len(content) > MESSAGE_BYTES_MAX:
            detail = f"A message has at most {MESSAGE_BYTES_MAX} bytes."
            await end_by(self._line, TOO_LARGE, InvalidParameter(detail, hint="Subscribe to less at once."))
        return content.decode(errors="replace") if text is None else text

    async def _subscribe(self, message: Subscribe | SubscribeFeed, group: asyncio.TaskGroup) -> None:
        if len(self._subscriptions) >= SUBSCRIPTIONS_MAX:
            rule = f"A socket has at most {SUBSCRIPTIONS_MAX} subscriptions."
            problem = InvalidParameter(rule, field="id", hint="Unsubscribe first, or put several queries under one id.")
            await self._line.say(write_error(message.id, problem))
            return
        task = group.create_task(self._serve(message), name=f"subscription {message.id}")
        self._subscriptions[message.id] = task
        task.add_done_callback(lambda _: self._forget(message.id, task))

    def _forget(self, id: str, task: asyncio.Task[None]) -> None:
        if self._subscriptions.get(id) is task:
            del self._subscriptions[id]

    async def _unsubscribe(self, id: str) -> None:
        task = self._subscriptions.pop(id, None)
        if task is not None:
            async with self._line.turn():  # so that it is not cancelled in the middle of a message
                task.cancel()

    # subscriptions ---------------------------------------------------------------------------------------------------

    async def _serve(self, message: Subscribe | SubscribeFeed) -> None:
        """Run one subscription. What prevents it is sent as an error; an outage is waited for."""
        known_error = ""
        while True:
            try:
                await (self._follow_feed(message) if isinstance(message, SubscribeFeed) else self._follow(message))
                return
            except (PlatformError, HTTPException) as error:
                if known_error != (known_error := str(error)):
                    await self._line.say(write_error(message.id, error))
                if not isinstance(error, Unavailable) or isinstance(error, Busy):
                    return
            await asyncio.sleep(OUTAGE_RETRY_S)

    async def _check(self, message: Subscribe) -> None:
        """Plan the queries, and charge them to the key's limit. Raises what is wrong with them."""
        engine, project, reads = self._services.engine, self._access.project, 0
        for number, query in enumerate(message.queries):
            try:
                reads += (await engine.check(project, [query])).reads
            except InvalidParameter as error:
                error.field = message.name_field(number, error.field)
                raise
        try:
            await engine.check(project, message.queries)
        except InvalidParameter as error:
            error.field = "query"  # the list as a whole
            raise
        await take(self._socket, READ, self._access, max(1, reads - len(message.queries) + 1))

    async def _follow(self, message: Subscribe) -> None:
        await self._check(message)
        hub = self._services.hub
        async with hub.follow(self._access.project, message.queries, self.seat) as (live_query, first):
            renderer = LiveRenderer(live_query, hub.side_thread, write_answers)
            await Subscription(message, live_query, renderer, self._line, self._admission.chain).run(first)

    async def _follow_feed(self, message: SubscribeFeed) -> None:
        await take(self._socket, READ, self._access)
        feeds, access = require_feeds(self._socket), self._access
        await send_feed(feeds, message, self._line, project=access.project, key=access.key_id)

    # watching --------------------------------------------------------------------------------------------------------

    async def _end_with(self, lease: KeyLease) -> None:
        """Cut the socket if it still goes on some seconds after its key has become invalid."""
        await lease.is_over
        self._line.cut()
        raise SocketGone

    async def _watch(self, lease: KeyLease) -> None:
        ends_at, beat_at = self._now() + self._admission.find_life_s(self._parts), self._now() + HEARTBEAT_S
        lease.attach(self._bell.ring)
        while True:
            await self._wait(min(beat_at, ends_at, self._heard_at + SILENCE_S_MAX) - self._now())
            await self._end_if_over(is_old=self._now() >= ends_at)
            if (problem := lease.problem) is not None:
                await end_by(self._line, LATER if isinstance(problem, Unavailable) else KEY, problem)
            if self._now() >= beat_at:
                beat_at = self._now() + HEARTBEAT_S
                await self._line.say(write_heartbeat())

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._bell.wait()
        except TimeoutError:
            return

    async def _end_if_over(self, *, is_old: bool) -> None:
        if self._services.hub.is_closing:
            await self._line.end(RESTART, make_bye())
        if self.seat.problem is not None:
            await end_by(self._line, LIMIT, self.seat.problem)
        if self._now() - self._heard_at >= SILENCE_S_MAX:
            self._line.note_silence()
            await self._line.end(SILENT, make_bye())
        if is_old and self._admission.ticket is not None:
            await end_by(self._line, KEY, Unauthorized(TICKET_IS_OVER, field="ticket", hint=NEW_TICKET))
        if is_old:
            await self._line.end(RESTART, make_bye())


def make_bye() -> str:
    return write_bye(round(random.uniform(*RETRY_S), 2))  # noqa: S311  # spreads reconnects; no secret


async def end_by(line: SocketLine, code: int, problem: Exception) -> NoReturn:
    """End the socket, and say why. Raises SocketGone."""
    await line.end(code, write_error("", problem), make_bye())
