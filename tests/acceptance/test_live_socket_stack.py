"""The live socket and the session on a real stack: an event is pushed, also by an API that was killed and is back."""

from __future__ import annotations

import json
import signal
import threading
from typing import Any

import httpx

from rtaplatform.client import Client, MetricAnswer, Question
from rtaplatform.client.web_socket import WebSocketClient
from tests import plain_http
from tests.acceptance.test_postgres_away import DEMO, Platform, wait_until
from tests.acceptance.test_postgres_away import platform as platform  # the fixture

OWN = {"product_id": ["p-of-the-socket"]}  # the log may hold events of other tests
QUESTIONS = (
    Question("product_views", start="-1h", filters=OWN),
    Question("product_views", start="-10m", interval="minute", breakdown=["product_id"], filters=OWN),
)


class Follower:
    """A program that follows the questions in a thread."""

    def __init__(self, url: str) -> None:
        self.answers: list[MetricAnswer] = []
        self._client = Client(url, DEMO.read)
        threading.Thread(target=self._follow, daemon=True).start()

    def read_total(self) -> Any:
        return self.answers[0].total if self.answers else None

    def _follow(self) -> None:
        for answers in self._client.live(*QUESTIONS):
            self.answers = answers


def sign_in_by_link(url: str) -> str:
    """As `rta up` and a browser do. Returns the cookie."""
    headers = {"Authorization": f"Bearer {DEMO.admin}"}
    code = plain_http.post(f"{url}/v1/session/codes", headers=headers, timeout=30).raise_for_status().json()["start"]
    page = {"Origin": url, "Sec-Fetch-Site": "same-origin"}
    opened = plain_http.post(f"{url}/v1/session", json={"start": code}, headers=page, timeout=30).raise_for_status()
    assert plain_http.post(f"{url}/v1/session", json={"start": code}, headers=page, timeout=30).status_code == 401
    return str(opened.headers["set-cookie"].partition(";")[0])


def view_product(platform: Platform, number: int) -> httpx.Response:
    event = {"event": "Product Viewed", "anonymousId": f"a-{number}", "messageId": f"socket-{number}"}
    properties = {"product_id": OWN["product_id"][0]}
    return platform.ask("POST", "/v1/track", DEMO.write, json={**event, "properties": properties})


def hear(url: str, headers: dict[str, str]) -> dict[str, Any]:
    """The first message but `hello` of a socket that subscribes."""
    line = WebSocketClient(f"{url}/v1/live/ws", headers, 30)
    try:
        line.send(
            json.dumps(
                {"type": "subscribe", "id": "x", "query": {"metric": "product_views", "from": "-1h", "filters": OWN}}
            )
        )
        while (message := json.loads(line.receive()))["type"] == "hello":
            pass
        return dict(message)
    finally:
        line.close()


def test_events_are_pushed_and_sessions_last_while_the_api_is_killed(platform: Platform) -> None:
    cookie = sign_in_by_link(platform.url)
    follower = Follower(platform.url)
    wait_until(lambda: follower.read_total() == 0, 90)
    assert view_product(platform, 1).status_code == 200
    wait_until(lambda: follower.read_total() == 1, 90)
    own_page = hear(platform.url, {"Cookie": cookie, "Origin": platform.url})
    assert own_page["answers"][0]["results"][0]["total"] == 1
    foreign_page = hear(platform.url, {"Cookie": cookie, "Origin": "https://elsewhere.example"})
    assert (foreign_page["type"], foreign_page["problem"]["status"]) == ("error", 403)

    platform.processes["api"].send_signal(signal.SIGKILL)
    platform.processes["api"].wait(20)
    platform.start("api")
    platform.wait_until_ready()
    assert view_product(platform, 2).status_code == 200
    wait_until(lambda: follower.read_total() == 2, 90)
    session = plain_http.get(f"{platform.url}/v1/session", headers={"Cookie": cookie}, timeout=30)
    assert (session.status_code, session.json()["project"]["slug"]) == (200, "demo")
    assert hear(platform.url, {"Cookie": cookie, "Origin": platform.url})["type"] == "snapshot"

    answers = Client(platform.url, DEMO.read).ask(*QUESTIONS)
    wait_until(
        lambda: [answer.raw["results"] for answer in follower.answers] == [answer.raw["results"] for answer in answers]
    )
