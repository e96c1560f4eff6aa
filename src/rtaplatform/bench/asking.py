"""An HTTP client that keeps its connection and can time its requests."""

from __future__ import annotations

import http.client
import time
import urllib.parse
from typing import Any, NamedTuple

import msgspec


class HttpQuestion(NamedTuple):
    """One request; `body` is sent as JSON."""

    path: str
    body: Any = None

    @property
    def method(self) -> str:
        return "GET" if self.body is None else "POST"


class HttpAsker:
    """Sends questions to an API, one after the other, with one key and over one connection."""

    def __init__(self, url: str, key: str) -> None:
        place = urllib.parse.urlsplit(url)
        self._connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=120)
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def ask(self, question: HttpQuestion) -> bytes:
        """Return the body of the answer. Raises AssertionError if the status is not 200."""
        body = None if question.body is None else msgspec.json.encode(question.body)
        self._connection.request(question.method, question.path, body, self._headers)
        answer = self._connection.getresponse()
        content = answer.read()
        assert answer.status == 200, (question, content)
        return content

    def time_answer(self, question: HttpQuestion) -> float:
        """Return the seconds from the first byte sent to the last byte read."""
        start_s = time.perf_counter()
        self.ask(question)
        return time.perf_counter() - start_s
