"""A collector that limits, fails, or loses answers gets every event; one that refuses good events or dies ends it."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from rtaplatform.core.errors import SetupError
from rtaplatform.simulate.over_http import http_lane, http_sender
from rtaplatform.simulate.over_http.http_lane import CollectorAnswer, HttpLane, UnexpectedAnswer, choose_pause_seconds
from rtaplatform.simulate.over_http.http_run import CollectorAddress, draw_sdk_events, simulate_over_http
from rtaplatform.simulate.over_http.sdk_requests import SdkRequest, make_requests
from rtaplatform.simulate.run import SimulationRun
from rtaplatform.simulate.shop.plan import SimulationPlan

PLAN = SimulationPlan(time.time_ns() // 1_000_000, rate=0, events_max=300, malformed=0, duplicates=0)
LOST = 0  # the events are taken, and the connection ends without an answer
DEAD = -1  # nothing is taken, and the connection ends without an answer
STEP_SECONDS = 0.01  # how often threads look whether they should end


@dataclass
class ScriptedCollector:
    """Answers with the statuses of `script`, then 200. `taken`: how often each messageId was taken."""

    script: list[tuple[int, str]] = field(default_factory=list)
    taken: Counter[str] = field(default_factory=Counter)
    retries: list[str] = field(default_factory=list)
    rejected: Sequence[Any] = ()

    def __post_init__(self) -> None:
        collector, self._lock = self, threading.Lock()

        class Handler(_ScriptedHandler):
            pass

        Handler.collector = collector
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(STEP_SECONDS,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def judge(self, body: bytes, retries: str) -> tuple[int, str]:
        with self._lock:
            self.retries.append(retries)
            status, retry_after = self.script.pop(0) if self.script else (200, "")
            if status in (200, LOST):
                document = json.loads(body)
                self.taken.update(event["messageId"] for event in document.get("batch", [document]))
            return status, retry_after


class _ScriptedHandler(BaseHTTPRequestHandler):
    collector: ScriptedCollector
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        body = gzip.decompress(body) if self.headers.get("content-encoding") else body
        status, retry_after = self.collector.judge(body, self.headers.get("x-retry-count", ""))
        if status in (LOST, DEAD):
            self.close_connection = True
            return
        answer = json.dumps({"success": True, "rejected": self.collector.rejected}).encode()
        self.send_response(status)
        for name, value in (("Retry-After", retry_after), ("Content-Length", str(len(answer)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[ScriptedCollector]:
    running = ScriptedCollector()
    yield running
    running.server.shutdown()
    running.server.server_close()


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run does after a wait does not depend on how long it was."""
    monkeypatch.setattr(http_sender, "_STEP_SECONDS", STEP_SECONDS)
    monkeypatch.setattr(http_sender, "_FLUSH_SECONDS_STOPPED", 0.2)
    monkeypatch.setattr(http_lane, "_PAUSE_FIRST_SECONDS", STEP_SECONDS)


@pytest.fixture
def request_of_page() -> SdkRequest:
    return make_requests([next(event for event in draw_sdk_events(PLAN) if event.source == "web")], "key")[0]


def make_run(stopped: threading.Event, lines: list[str]) -> SimulationRun:
    return SimulationRun(PLAN, lines.append, stopped.is_set)


def test_pauses_are_those_of_the_answers(collector: ScriptedCollector, request_of_page: SdkRequest) -> None:
    collector.script = [(429, "7"), (503, "2"), (LOST, ""), (502, "")]
    pauses, statuses = list[float](), list[int]()

    def wait(seconds: float) -> bool:
        pauses.append(seconds)
        return True

    lane = HttpLane(collector.url, wait=wait, notice=lambda status, _: statuses.append(status))
    assert lane.deliver(request_of_page)
    lane.close()
    assert (pauses, statuses) == ([7, 2, 2, 4], [429, 503, 0, 502, 200])
    assert collector.retries == ["", "1", "2", "3", "4"]
    assert list(collector.taken.values()) == [2], "the same messageId as in the lost answer"


@pytest.mark.parametrize(
    ("retry_after", "tries", "seconds"), [("3", 9, 3), ("900", 0, 300), ("0", 0, 0.5), ("", 2, 2), ("soon", 99, 10)]
)
def test_pauses_grow_and_have_an_end(retry_after: str, tries: int, seconds: float) -> None:
    assert choose_pause_seconds(CollectorAnswer(503, retry_after), tries) == seconds


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_answers_that_sending_again_does_not_mend(
    collector: ScriptedCollector, request_of_page: SdkRequest, status: int
) -> None:
    collector.script = [(status, "")]
    lane = HttpLane(collector.url, wait=lambda _: True, notice=lambda *_: None)
    with pytest.raises(UnexpectedAnswer, match=str(status)):
        lane.deliver(request_of_page)
    lane.close()


@pytest.mark.usefixtures("short_waits")
def test_every_event_arrives_and_is_in_the_truth(collector: ScriptedCollector, tmp_path: Path) -> None:
    collector.script = [(503, ""), (LOST, ""), (429, "1")]
    lines = list[str]()
    run = make_run(threading.Event(), lines)
    summary = simulate_over_http(run, CollectorAddress(collector.url, "key"), tmp_path / "truth.json")
    assert (summary["sent"], summary["unsent"], summary["refused"]) == (300, 0, {})
    assert len(collector.taken) == 300
    truth = json.loads((tmp_path / "truth.json").read_text())
    assert (truth["projects"]["demo"]["totals"]["applied"], truth["run"]["sent"]) == (300, 300)
    assert lines[-1] == "The collector takes events again."


@pytest.mark.usefixtures("short_waits")
def test_a_good_event_that_is_refused_ends_the_run(collector: ScriptedCollector) -> None:
    collector.rejected = [{"index": 0, "reason": "too_large"}]
    with pytest.raises(SetupError, match="refused"):
        simulate_over_http(make_run(threading.Event(), []), CollectorAddress(collector.url, "key"))


@pytest.mark.usefixtures("short_waits")
def test_a_stop_gives_up_what_waits_and_counts_it(collector: ScriptedCollector) -> None:
    collector.script = [(503, "300")] * 1_000
    stopped = threading.Event()
    threading.Timer(0.3, stopped.set).start()
    summary = simulate_over_http(make_run(stopped, []), CollectorAddress(collector.url, "key"))
    assert summary["unsent"] >= summary["sent"]
    assert not collector.taken


@pytest.mark.usefixtures("short_waits")
def test_a_collector_that_dies_ends_the_run_with_the_number_of_events(
    collector: ScriptedCollector, tmp_path: Path
) -> None:
    collector.script = [(200, "")] * 5 + [(DEAD, "")] * 10_000
    run = make_run(threading.Event(), [])
    with pytest.raises(SetupError, match=r"[1-9][0-9]* events were not acknowledged") as raised:
        simulate_over_http(run, CollectorAddress(collector.url, "key", 0.1), tmp_path / "truth.json")
    unsent = json.loads((tmp_path / "truth.json").read_text())["run"]["unsent"]
    assert f" {unsent} events" in raised.value.problem
    assert sum(run.sent_by_topic.values()) <= len(collector.taken) + unsent <= 300
