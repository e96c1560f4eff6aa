"""One subscription of a socket: its live query, and the version that the client has.   Stage 6 of 6.

The client gets a snapshot, or `resumed` if it has a version that is still known. Then it gets the changes since the
version that it was sent last, whenever the line is free. During an outage it gets the problem, and later `resumed` or
an update. A wrong question, or a question whose place was given to somebody else, ends the subscription.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from rtaplatform.analytics.live.listener_bell import ListenerBell
from rtaplatform.analytics.live.live_query import AnswerVersion, LiveQuery
from rtaplatform.core.errors import PlatformError, Rejected
from rtaplatform.serve.connections.byte_budget import FREE_BYTES
from rtaplatform.serve.http.tickets import CHAIN_MARK
from rtaplatform.serve.query.live_rendering import LiveRenderer, MessageName
from rtaplatform.serve.socket.socket_line import SocketLine
from rtaplatform.serve.socket.socket_messages import Subscribe, answers_message, write_error, write_resumed

SayText = Callable[[str], Awaitable[None]]


class Subscription:
    """`chain` is the suffix of all versions of this socket."""

    def __init__(
        self, message: Subscribe, live_query: LiveQuery, renderer: LiveRenderer[str], line: SocketLine, chain: str
    ) -> None:
        self._message, self._live_query, self._renderer = message, live_query, renderer
        self._line, self._chain = line, chain
        self._error: PlatformError | None = None

    async def run(self, first: AnswerVersion) -> None:
        """Send until the subscription ends. Raises SocketGone, and the error of a bug in the computations."""
        sent_version, bell = await self._begin(first), ListenerBell()
        with self._live_query.ringing(bell):
            while (end := self._find_end()) is None:
                if self._has_news(sent_version):
                    async with self._line.turn() as say:
                        sent_version = await self._send_news(sent_version, say)
                await bell.wait()
                self._live_query.check()
        await self._line.say(write_error(self._message.id, end))

    def _has_news(self, sent_version: AnswerVersion) -> bool:
        return self._live_query.latest is not sent_version or self._live_query.error is not self._error

    async def _begin(self, first: AnswerVersion) -> AnswerVersion:
        since = (self._message.since or "").partition(CHAIN_MARK)[0]
        known_version = self._live_query.find(since) if since else None
        async with self._line.turn() as say:
            if known_version is None:
                await self._send_snapshot(first, say)
                return first
            await say(write_resumed(self._message.id, known_version.id + self._chain))
            return known_version

    async def _send_news(self, sent_version: AnswerVersion, say: SayText) -> AnswerVersion:
        """Send what the client does not know. Returns the version that it has now."""
        error, latest = self._live_query.error, self._live_query.latest
        if error is not self._error:
            self._error = error
            if error is not None:
                await say(write_error(self._message.id, error))
            elif latest is sent_version:
                await say(write_resumed(self._message.id, latest.id + self._chain))
        if latest is not sent_version:
            await self._send_update(sent_version, latest, say)
        return latest

    def _find_end(self) -> PlatformError | None:
        error = self._live_query.error
        return self._live_query.problem or (error if isinstance(error, Rejected) else None)

    async def _send_update(self, base: AnswerVersion, latest: AnswerVersion, say: SayText) -> None:
        answers = await self._renderer.render_update(base, latest)
        if answers is None:
            await self._send_snapshot(latest, say)
        elif answers:
            await self._send_answers("update", latest, answers, say)

    async def _send_snapshot(self, version: AnswerVersion, say: SayText) -> None:
        await self._send_answers("snapshot", version, await self._renderer.render_snapshot(version), say)

    async def _send_answers(self, name: MessageName, version: AnswerVersion, answers: str, say: SayText) -> None:
        id, version_id = self._message.id, version.id + self._chain
        if len(answers) <= FREE_BYTES:
            await say(answers_message(name, id, version_id, answers))
            return
        async with self._line.hold_room(len(answers)):
            await say(answers_message(name, id, version_id, answers))


def write_answers(_name: MessageName, _version: AnswerVersion, answers: bytes) -> str:
    """Write what the messages of all sockets share: the list of answers."""
    return answers.decode()
