"""Live answers as an iterator: it resumes after every cut, and ends only by an error of the caller's.

After a cut each attempt waits longer, with full jitter, up to RETRY_S_MAX, or as long as the server wishes. The client
sends the version that it has, so it gets the changes since, or a new snapshot.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from rtaplatform.client.problems import ApiProblem, ConnectionLost
from rtaplatform.client.reducer import Json, apply_message

ID = "live"
RETRY_S_MIN, RETRY_S_MAX = 0.25, 10.0
SILENCE_S_MAX = 25.0  # two and a half heartbeats of the server
GOES_ON = (429, 503)  # problems after which the next attempt may succeed


class LiveLine(Protocol):
    """A connection to the live socket: `web_socket.WebSocketClient`, or a script in tests. Raises ConnectionLost."""

    def send(self, text: str) -> None: ...

    def receive(self) -> str: ...

    def close(self) -> None: ...


def follow(
    connect: Callable[[], LiveLine], queries: Sequence[Json], *, sleep: Callable[[float], None] = time.sleep
) -> Iterator[list[Json]]:
    """Yield the whole answers after each change. Raises ApiProblem if the questions or the key are wrong."""
    state, attempts = _LiveState(list(queries)), 0
    while True:
        try:
            for answers in _follow_once(connect, state):
                attempts = 0
                yield answers
        except ConnectionLost as error:
            longest_s = min(RETRY_S_MAX, RETRY_S_MIN * 2**attempts)
            attempts = min(attempts + 1, 10)
            sleep(error.retry_s if error.retry_s is not None else random.uniform(0, longest_s))  # noqa: S311  # jitter


class _LiveState:
    """What survives a cut: the answers, and their version."""

    def __init__(self, queries: list[Json]) -> None:
        self.queries, self.version = queries, ""
        self.answers: list[Json] = []

    def write_subscription(self) -> str:
        since = {"since": self.version} if self.version else {}
        return json.dumps({"type": "subscribe", "id": ID, "query": self.queries, **since})


def _follow_once(connect: Callable[[], LiveLine], state: _LiveState) -> Iterator[list[Json]]:
    """Yield until the connection is lost."""
    line = connect()
    try:
        line.send(state.write_subscription())
        while True:
            message = json.loads(line.receive())
            if message["type"] in ("snapshot", "update", "resumed"):
                state.answers, state.version = apply_message(state.answers, message), message["version"]
                if message["type"] != "resumed":
                    yield state.answers
            else:
                _handle(message, line)
    finally:
        line.close()


def _handle(message: Any, line: LiveLine) -> None:
    """Answer a heartbeat. Raises ConnectionLost for a goodbye, ApiProblem for an error that will not pass."""
    match message["type"]:
        case "heartbeat":
            line.send('{"type": "pong"}')
        case "bye":
            raise ConnectionLost("The server says goodbye.", float(message["retry_seconds"]))
        case "error" if message["problem"]["status"] not in GOES_ON:
            raise ApiProblem(message["problem"])
