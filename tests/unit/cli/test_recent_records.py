"""Dead letters of the last 5 minutes, as the workers' signals say: a warning over 1 %, and nothing guessed."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from rtaplatform.cli.commands import status
from rtaplatform.cli.live_summary import LiveSummaryReader, format_line
from rtaplatform.cli.recent_records import RecentRecords, describe_recent_records, list_warnings, sum_recent_records
from rtaplatform.local.data.instance_file import InstanceAddresses, RunningInstance, holding_lock, write_running
from rtaplatform.local.supervisor.readiness import Readiness

WARNING = "over 1 % of the records of the last 5 minutes are dead letters (11 of 1,000): `rta dead-letters list`"


def write_signals(applied: int, dead: int, seconds: float) -> str:
    return (
        "# TYPE rta_worker_recent_records gauge\n"
        f'rta_worker_recent_records{{outcome="applied"}} {applied}.0\n'
        f'rta_worker_recent_records{{outcome="dead"}} {dead}.0\n'
        f"rta_worker_recent_seconds {seconds}\n"
        'rta_worker_records_total{outcome="applied"} 9e+09\n'
    )


@pytest.fixture
def worker() -> Iterator[str]:
    class WorkerSignals(BaseHTTPRequestHandler):
        """A worker of which 11 of 1,000 records were dead."""

        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(write_signals(989, 11, 300.0).encode())

        def log_message(self, format: str, *args: object) -> None:
            """Keep quiet."""

    server = HTTPServer(("127.0.0.1", 0), WorkerSignals)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/metrics"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("consumed", "dead", "warns"), [(0, 0, False), (1_000, 10, False), (1_000, 11, True), (1, 1, True), (9, 0, False)]
)
def test_over_one_percent_is_a_warning_with_one_remedy(consumed: int, dead: int, warns: bool) -> None:
    warnings = list_warnings(RecentRecords(consumed, dead, 300))
    assert [line.count("`rta dead-letters list`") for line in warnings] == [1] * warns


def test_what_is_not_known_is_no_warning() -> None:
    assert list_warnings(None) == ()


def test_workers_are_added_up_and_the_newest_says_what_is_covered() -> None:
    texts = {"worker-1": write_signals(90, 1, 300.0), "worker-2": write_signals(8, 1, 40.7)}
    assert sum_recent_records(texts) == RecentRecords(100, 2, 40)


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "<html>", "rta_worker_recent_seconds x\n", "rta_worker_recent_seconds Inf\n"]
)
def test_a_worker_that_cannot_be_read_is_named(text: str) -> None:
    texts = {"worker-1": write_signals(5, 0, 300), "worker-2": text}
    assert sum_recent_records(texts) == RecentRecords(5, 0, 300, ("worker-2",))
    assert sum_recent_records({"worker-2": text}) is None


def test_the_line_says_what_it_does_not_cover() -> None:
    assert describe_recent_records(RecentRecords(1_200, 3, 300)) == (
        "1,200 consumed, 3 dead letters in the last 5 minutes"
    )
    assert describe_recent_records(RecentRecords(7, 0, 40, ("worker-2",))) == (
        "7 consumed, 0 dead letters in the last 5 minutes "
        "(the newest worker has run for 40 s; without worker-2, whose signals cannot be read)"
    )


def test_the_live_table_warns_even_while_the_api_is_away(worker: str) -> None:
    signals = {"worker-1": worker, "profiles": "http://127.0.0.1:1/metrics"}
    line = format_line(LiveSummaryReader("http://127.0.0.1:1", lambda: "key", signals=signals).read())
    assert line.startswith("records 1,000 consumed, 11 dead letters in the last 5 minutes  the API does not answer")
    assert line.endswith(WARNING)


def test_status_shows_and_warns_in_text_and_json(
    worker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(status, "read_readiness", lambda url: Readiness(True))
    monkeypatch.setattr(status, "_read_profiles_lag", lambda servers: None)
    signals = {"worker-1": worker, "worker-2": "http://127.0.0.1:1/metrics"}
    addresses = InstanceAddresses("127.0.0.1:1", "", "", "", "")
    with holding_lock(tmp_path):
        running = RunningInstance(os.getpid(), "http://127.0.0.1:1", "", addresses, {}, signals)
        write_running(tmp_path, running)
        status.command(tmp_path, as_json=True)
        state = json.loads(capsys.readouterr().out)
        status.command(tmp_path)
        text = capsys.readouterr().out
    assert state["problems"] == [WARNING]
    assert state["last_5_minutes"] == {
        "consumed": 1_000, "dead_letters": 11, "covered_seconds": 300, "unread_workers": ["worker-2"],
    }  # fmt: skip
    assert f"  ! {WARNING}\n" in text
    assert "  records     1,000 consumed, 11 dead letters in the last 5 minutes (without worker-2, whose" in text
