"""A client of the API for programs and notebooks.

from rtaplatform.client import Client, Question

client = Client("http://127.0.0.1:8000", key="rta_r_…")
(orders,) = client.ask(Question("orders", start="-7d", interval="day"))
for orders, online in client.live(Question("orders"), Question("online")):
    print(orders.total, online.total)
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

from rtaplatform.client.live import SILENCE_S_MAX, follow
from rtaplatform.client.problems import ApiProblem, ConnectionLost
from rtaplatform.client.questions import MetricAnswer, Question, read_answer
from rtaplatform.client.web_socket import WebSocketClient

PATH = "/v1/live/ws"


class Client:
    """`url` is the API's address, `key` a key with the scope `read`."""

    def __init__(self, url: str, key: str, *, timeout_s: float = 30.0) -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError("The address begins with http:// or https://.")
        self._url, self._key, self._timeout_s = url.rstrip("/"), key, timeout_s

    def ask(self, *questions: Question) -> list[MetricAnswer]:
        """Answer up to 20 questions as of one moment. Raises ApiProblem, ConnectionLost."""
        document = self._request("/v1/query", {"queries": [question.to_json() for question in questions]})
        return [read_answer(raw) for raw in document["answers"]]

    def metrics(self) -> list[dict[str, Any]]:
        """Return every metric, with its unit, dimensions and intervals. Raises ApiProblem, ConnectionLost."""
        items: list[dict[str, Any]] = self._request("/v1/metrics")["items"]
        return items

    def live(self, *questions: Question) -> Iterator[list[MetricAnswer]]:
        """Yield the answers of up to 20 questions, as of one moment, now and after each change.

        It goes on after every cut and restart. Raises ApiProblem if the questions or the key are wrong.
        """
        for answers in follow(self._connect, [question.to_json() for question in questions]):
            yield [read_answer(raw) for raw in answers]

    def _connect(self) -> WebSocketClient:
        return WebSocketClient(f"{self._url}{PATH}", {"Authorization": f"Bearer {self._key}"}, SILENCE_S_MAX)

    def _request(self, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(  # noqa: S310  # http or https, see __init__
            f"{self._url}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_s) as answer:  # noqa: S310  # the same
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise ApiProblem(_read_problem(error)) from None
        except OSError as error:
            raise ConnectionLost(f"The API cannot be reached: {error}") from None


def _read_problem(error: urllib.error.HTTPError) -> dict[str, Any]:
    try:
        document = json.load(error)
    except ValueError:
        document = None
    return document if isinstance(document, dict) else {"status": error.code, "detail": f"The API answers {error}."}
