"""One connection to the collector, and the requests that go over it one after the other.   simulate: [http_lane].

Promise: a request is sent until the collector has taken it, with the same messageIds each time. 429 and 503 are waited
for as long as they say; broken connections and other temporary answers with growing pauses. An answer that a good SDK
must not get ends the run: a good event refused, a broken one accepted, an unknown key.
"""

from __future__ import annotations

import http.client
import json
import math
import time
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import urlsplit

from rtaplatform.simulate.over_http.sdk_requests import SdkRequest

TEMPORARY = frozenset((408, 425, 429, 500, 502, 503, 504))
NO_ANSWER = 0
_ANSWER_SECONDS_MAX = 30.0
_PAUSE_FIRST_SECONDS, _PAUSE_SECONDS_MAX, _RETRY_AFTER_SECONDS_MAX = 0.5, 10.0, 300.0


class CollectorAnswer(NamedTuple):
    """`status`: 0 if there was no answer."""

    status: int
    retry_after: str = ""
    body: bytes = b""


class UnexpectedAnswer(Exception):
    """The collector answers in a way that sending again does not mend."""


class HttpLane:
    """A connection. `wait` sleeps, and returns False if nobody wants to wait any longer."""

    def __init__(
        self,
        url: str,
        *,
        wait: Callable[[float], bool],
        notice: Callable[[int, float], None],
        answer_seconds_max: float = math.inf,
    ) -> None:
        """`notice` is told the status of each answer, and how many seconds it took."""
        self._address, self._answer_seconds_max = urlsplit(url), min(answer_seconds_max, _ANSWER_SECONDS_MAX)
        self._wait, self._notice = wait, notice
        self._connection: http.client.HTTPConnection | None = None

    def deliver(self, request: SdkRequest) -> bool:
        """Send until it is taken. Return False if the wait was ended before. Raises UnexpectedAnswer."""
        tries = 0
        while True:
            began_at = time.monotonic()
            answer = self._send(request, tries)
            self._notice(answer.status, time.monotonic() - began_at)
            if answer.status not in TEMPORARY and answer.status != NO_ANSWER:
                check_answer(request, answer)
                return True
            if not self._wait(choose_pause_seconds(answer, tries)):
                return False
            tries += 1

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _send(self, request: SdkRequest, tries: int) -> CollectorAnswer:
        headers = request.headers | ({"X-Retry-Count": str(tries)} if tries else {})
        body = request.make_body(time.time_ns() // 1_000_000)
        try:
            self._connection = self._connection or self._connect()
            self._connection.request("POST", self._address.path.rstrip("/") + request.path, body, headers)
            response = self._connection.getresponse()
            return CollectorAnswer(response.status, response.getheader("Retry-After", ""), response.read())
        except (OSError, http.client.HTTPException):
            self.close()
            return CollectorAnswer(NO_ANSWER)

    def _connect(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._address.scheme == "https" else http.client.HTTPConnection
        return kind(self._address.hostname or "", self._address.port, timeout=self._answer_seconds_max)


def choose_pause_seconds(answer: CollectorAnswer, tries: int) -> float:
    """Return how long to wait before the next try: what the answer says, else longer each time."""
    if answer.retry_after.isdecimal() and int(answer.retry_after) > 0:
        return min(float(answer.retry_after), _RETRY_AFTER_SECONDS_MAX)
    return float(min(_PAUSE_FIRST_SECONDS * 2 ** min(tries, 10), _PAUSE_SECONDS_MAX))


def check_answer(request: SdkRequest, answer: CollectorAnswer) -> None:
    """Raise UnexpectedAnswer unless the broken events, and they alone, are refused, each with its reason."""
    if answer.status != 200:
        raise UnexpectedAnswer(f"{request.path.partition('?')[0]} → {answer.status} {answer.body[:300]!r}")
    expected_reasons = {index: event.refusal for index, event in enumerate(request.events) if event.refusal}
    document = json.loads(answer.body)
    reasons = {refusal["index"]: refusal["reason"] for refusal in document.get("rejected", ())}
    if reasons != expected_reasons:
        raise UnexpectedAnswer(f"refused {reasons}, expected {expected_reasons}: {document.get('rejected', ())!r:.300}")
