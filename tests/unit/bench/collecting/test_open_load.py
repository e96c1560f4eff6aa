"""The load is sent at its rate whatever the server answers, and each answer is counted as what it was."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from rtaplatform.bench.collecting.open_load import NO_ANSWER, CallText, Load, LoadOutcome, _LoadSender

SECONDS, RATE, CONNECTIONS = 0.3, 200.0, 3
CALLS = 60


class Server:
    """Reads calls by lines and lengths, and answers the n-th of all with `status_of(n)`; None closes the connection."""

    def __init__(self, status_of: Callable[[int], int | None], answers_after: int = 0) -> None:
        self.bodies: list[dict[str, object]] = []
        self._status_of, self._answers_after = status_of, answers_after
        self._all_are_here = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (head := await reader.readuntil(b"\r\n\r\n")).startswith(b"POST /v1/track HTTP/1.1\r\n"):
                lines = [line.split(b": ", 1) for line in head.split(b"\r\n")[1:-2]]
                length = next(int(value) for name, value in lines if name == b"Content-Length")
                self.bodies.append(json.loads(await reader.readexactly(length)))
                status = self._status_of(len(self.bodies))
                if len(self.bodies) >= self._answers_after:
                    self._all_are_here.set()
                await self._all_are_here.wait()
                if status is None:
                    break
                writer.write(b"HTTP/1.1 %d X\r\ncontent-length: 2\r\n\r\n{}" % status)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[int]:
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listener:
        yield listener.sockets[0].getsockname()[1]


async def send(server: Server, rate: float | None = RATE) -> LoadOutcome:
    async with serving(server) as port:
        load = Load("127.0.0.1", port, "key", "run", rate, SECONDS, CONNECTIONS)
        return await _LoadSender(load).run()


async def test_calls_follow_others_that_wait_on_their_connection() -> None:
    server = Server(lambda _: 200, answers_after=CONNECTIONS)
    outcome = await send(server)
    assert outcome.sent == len(server.bodies) == CALLS
    assert outcome.statuses == Counter({200: CALLS})


async def test_a_server_that_answers_nothing_gets_the_same_calls() -> None:
    server = Server(lambda _: 200, answers_after=CALLS + 1)
    async with serving(server) as port:
        sender = _LoadSender(Load("127.0.0.1", port, "key", "run", RATE, SECONDS, CONNECTIONS))
        sender.answered_seconds = 0.05
        outcome = await sender.run()
    assert outcome.sent == CALLS
    assert outcome.statuses == Counter({NO_ANSWER: CALLS})
    assert outcome.accepted_in_window == 0


async def test_each_answer_is_counted_as_what_it_was() -> None:
    server = Server(lambda n: (200, 429, 503)[n % 3])
    outcome = await send(server)
    assert outcome.statuses == Counter({200: CALLS // 3, 429: CALLS // 3, 503: CALLS // 3})
    assert len(outcome.taken) == CALLS // 3


async def test_a_lost_connection_is_replaced_and_its_calls_have_no_answer() -> None:
    server = Server(lambda n: None if n % 20 == 0 else 200)
    outcome = await send(server)
    assert outcome.sent == CALLS == sum(outcome.statuses.values())
    assert outcome.statuses[NO_ANSWER] >= 3


async def test_calls_differ_by_id_and_person() -> None:
    server = Server(lambda _: 200)
    await send(server)
    assert len({body["messageId"] for body in server.bodies}) == CALLS
    assert len({body["anonymousId"] for body in server.bodies}) == CALLS
    assert {body["event"] for body in server.bodies} == {"Product Viewed"}


async def test_a_closed_loop_sends_again_when_it_has_its_answer() -> None:
    server = Server(lambda _: 200)
    outcome = await send(server, rate=None)
    assert outcome.sent == len(server.bodies) > CONNECTIONS
    assert outcome.statuses == Counter({200: outcome.sent})


def test_the_name_of_a_run_may_look_like_a_person() -> None:
    text = CallText(Load("127.0.0.1", 1, "key", "run-a", RATE, SECONDS, CONNECTIONS)).write(7)
    body = json.loads(text.partition(b"\r\n\r\n")[2])
    assert (body["messageId"], body["anonymousId"]) == ("run-a-000000000007", "a-0000007")
