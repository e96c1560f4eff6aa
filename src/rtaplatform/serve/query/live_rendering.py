"""What is sent of a live query's answers, made once for all listeners.   Stage 6 of 6.

Streams and sockets share the encoded answers. What a kind of connection sends of them is shared by all connections of
this kind. Small answers are encoded at once, so that of many listeners that wake together the others find them ready.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, Literal, TypeVar

from rtaplatform import telemetry
from rtaplatform.analytics.answer.side_thread import INLINE_MAX, SideThread
from rtaplatform.analytics.live.live_query import AnswerVersion, LiveQuery
from rtaplatform.serve.query.answer_encoding import encode_answers

RENDERED_MAX = 32  # texts that are kept per live query

MessageName = Literal["snapshot", "update"]
TextT = TypeVar("TextT", bytes, str)
Wrap = Callable[[MessageName, AnswerVersion, bytes], TextT]  # of the version to which the JSON list of answers leads


class LiveRenderer(Generic[TextT]):
    """The texts of one live query. `wrap` makes what one kind of connection sends of the encoded answers."""

    def __init__(self, live_query: LiveQuery, side_thread: SideThread, wrap: Wrap[TextT]) -> None:
        self._live_query, self._side_thread = live_query, side_thread
        self._wrap: Wrap[TextT] = wrap

    async def render_snapshot(self, version: AnswerVersion) -> TextT:
        telemetry.LIVE_SNAPSHOTS.inc()
        text = await self._render("snapshot", None, version)
        assert text is not None
        return text

    async def render_update(self, base: AnswerVersion, latest: AnswerVersion) -> TextT | None:
        """Return the changes between two versions: empty if there are none, None if a snapshot is needed."""
        text = await self._render("update", base, latest)
        if text:
            telemetry.LIVE_UPDATES.inc()
        return text

    async def _render(self, name: MessageName, base: AnswerVersion | None, latest: AnswerVersion) -> TextT | None:
        place = (self._wrap, base, latest)
        text: asyncio.Future[TextT | None] | None = self._live_query.rendered.get(place)
        if text is None:
            text = self._begin(name, base, latest)
            self._keep(place, text)
        # Shielded: other listeners wait for the same, so one that disconnects must not cancel it.
        return text.result() if text.done() else await asyncio.shield(text)

    def _begin(
        self, name: MessageName, base: AnswerVersion | None, latest: AnswerVersion
    ) -> asyncio.Future[TextT | None]:
        def wrap(answers: bytes | None) -> TextT | None:
            return None if answers is None else self._wrap(name, latest, answers)

        async def wrap_large(answers: Awaitable[bytes | None]) -> TextT | None:
            return wrap(await answers)

        answers = self._start_encoding(base, latest)
        return _make_finished(wrap(answers.result())) if answers.done() else asyncio.ensure_future(wrap_large(answers))

    def _start_encoding(self, base: AnswerVersion | None, latest: AnswerVersion) -> asyncio.Future[bytes | None]:
        """Find or begin the JSON list of answers. What is large is encoded outside the event loop."""
        points = max(base.points if base else 0, latest.points)
        answers: asyncio.Future[bytes | None] | None = self._live_query.rendered.get((base, latest))
        if answers is None:
            if points <= INLINE_MAX:
                answers = _make_finished(self._encode(base, latest))
            else:
                answers = asyncio.ensure_future(self._side_thread.run(points, lambda: self._encode(base, latest)))
            self._keep((base, latest), answers)
        return answers

    def _encode(self, base: AnswerVersion | None, latest: AnswerVersion) -> bytes | None:
        if base is None:
            return encode_answers(latest.answers)
        updates = self._live_query.merge_updates_since(base, latest)
        if updates is None:
            return None
        return encode_answers(updates) if updates else b""

    def _keep(self, place: object, text: asyncio.Future[TextT | None] | asyncio.Future[bytes | None]) -> None:
        texts = self._live_query.rendered
        while len(texts) >= RENDERED_MAX:
            del texts[next(iter(texts))]
        texts[place] = text


ResultT = TypeVar("ResultT")


def _make_finished(result: ResultT) -> asyncio.Future[ResultT]:
    future: asyncio.Future[ResultT] = asyncio.get_running_loop().create_future()
    future.set_result(result)
    return future
