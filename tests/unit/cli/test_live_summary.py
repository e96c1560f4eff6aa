"""The live table: a rate that a day of history does not disturb, and the reason where something is wrong."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from rtaplatform.cli.live_summary import LiveSummaryReader, format_line

READY = {"status": "ready", "missing": [], "servers": {"redis": "answers", "kafka": "answers"}}
NOT_READY = {
    "status": "not ready",
    "missing": ["redis"],
    "servers": {"redis": "redis: Connection refused", "kafka": "answers"},
    "freshness": {"stops": {"0/rta.events.web:3": "log_cut: run `rta topics adopt`"}, "torn": [1]},
}


class StandIn:
    """An API that answers with these totals in turn, and notes which `from` it was asked for."""

    def __init__(self) -> None:
        self.totals: list[int] = [0]
        self.health: tuple[int, dict[str, Any]] = (200, READY)
        self.periods: list[str] = []
        self.keys: list[str] = []

    def answer(self, path: str, key: str) -> tuple[int, dict[str, Any]]:
        url = urlsplit(path)
        if url.path == "/health/ready":
            return self.health
        self.keys.append(key)
        total = 1
        if url.path == "/v1/metrics/events":
            self.periods += parse_qs(url.query)["from"]
            total = self.totals.pop(0) if len(self.totals) > 1 else self.totals[0]
        return 200, {"results": [] if "popular" in path else [{"total": total}], "meta": {"lag_ms": 5}}


@pytest.fixture
def api() -> Iterator[tuple[StandIn, str]]:
    stand_in = StandIn()

    class Handler(BaseHTTPRequestHandler):
        """Answers as the stand-in says."""

        def do_GET(self) -> None:
            status, body = stand_in.answer(self.path, self.headers.get("Authorization", ""))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, format: str, *args: object) -> None:
            """Keep quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield stand_in, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_the_rate_is_of_events_since_a_fixed_moment(api: tuple[StandIn, str]) -> None:
    stand_in, url = api
    now = [1_800_000_000.0]
    reader = LiveSummaryReader(url, lambda: "key", lambda: now[0])
    stand_in.totals = [100, 150]
    reader.read()
    now[0] += 3_600  # whatever leaves the last 24 hours meanwhile
    assert (reader.read().events_per_second or 0) > 0
    assert len(set(stand_in.periods)) == 1


def test_the_moment_stays_among_those_for_which_minutes_are_kept(api: tuple[StandIn, str]) -> None:
    stand_in, url = api
    now = [1_800_000_000.0]
    reader = LiveSummaryReader(url, lambda: "key", lambda: now[0])
    reader.read()
    now[0] += 13 * 3_600
    stand_in.totals = [7]
    assert reader.read().events_per_second is None, "it starts anew"
    assert len(set(stand_in.periods)) == 2


def test_a_key_may_change_meanwhile(api: tuple[StandIn, str]) -> None:
    stand_in, url = api
    keys = ["one"]
    reader = LiveSummaryReader(url, lambda: keys[0])
    reader.read()
    keys[0] = "two"
    reader.read()
    assert set(stand_in.keys) == {"Bearer one", "Bearer two"}


def test_what_is_wrong_is_shown_beside_the_numbers(api: tuple[StandIn, str]) -> None:
    stand_in, url = api
    stand_in.health = (503, NOT_READY)
    line = format_line(LiveSummaryReader(url, lambda: "key").read())
    assert "online 1" in line
    assert "redis: Connection refused" in line
    assert "stopped: 0/rta.events.web:3: log_cut: run `rta topics adopt`" in line
    assert "shard 1 is only partly written" in line


def test_an_api_that_is_away_is_said(api: tuple[StandIn, str]) -> None:
    line = format_line(LiveSummaryReader("http://127.0.0.1:1", lambda: "key").read())
    assert line.startswith("the API does not answer")
