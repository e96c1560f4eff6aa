"""The server's time as a page learns it, moved: in the messages of the socket and in the header `Date` of answers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from playwright.sync_api import Page, Route, WebSocketRoute


@dataclass
class ServerClock:
    """Made before the page is opened. The browser's own clock stays: a page must not go by it."""

    page: Page
    shift: timedelta = timedelta()

    def __post_init__(self) -> None:
        self.page.route("**/v1/**", self._answer)
        self.page.route_web_socket("**/v1/live/ws", self._relay)

    def set(self, moment: datetime) -> None:
        self.shift = moment - datetime.now(UTC)

    def stop(self) -> None:
        """Before the window is closed: an answer may be under way."""
        self.page.unroute_all(behavior="ignoreErrors")

    def _answer(self, route: Route) -> None:
        answer = route.fetch()
        headers = {**answer.headers, "date": format_datetime(datetime.now(UTC) + self.shift, usegmt=True)}
        route.fulfill(response=answer, headers=headers)

    def _relay(self, near: WebSocketRoute) -> None:
        far = near.connect_to_server()
        far.on_message(lambda message: near.send(self._move_clock(str(message))))

    def _move_clock(self, text: str) -> str:
        message = json.loads(text)
        if "now" in message:
            shifted_time = datetime.fromisoformat(message["now"]) + self.shift
            message["now"] = shifted_time.isoformat()
        return json.dumps(message)
