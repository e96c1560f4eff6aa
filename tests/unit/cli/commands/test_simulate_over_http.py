"""`rta simulate --via http` says what is wrong with its options before it sends anything, and what was not taken."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rtaplatform.cli.commands.simulate import _find_collector
from rtaplatform.cli.connections import Connections
from rtaplatform.core.errors import SetupError
from rtaplatform.simulate.over_http.http_sender import LANES
from rtaplatform.simulate.shop.plan import SimulationPlan

NOW_MS = time.time_ns() // 1_000_000
URL = "https://rta.example.com"


@pytest.mark.parametrize(
    ("plan", "url", "code", "problem"),
    [
        (SimulationPlan(NOW_MS, backfill_ms=1_000), URL, 2, "--backfill"),
        (SimulationPlan(NOW_MS, rate=0), URL, 2, "--rate 0"),
        (SimulationPlan(NOW_MS + 3_600_000), URL, 2, "future"),
        (SimulationPlan(NOW_MS), "rta.example.com", 2, "no address"),
        (SimulationPlan(NOW_MS), "", 3, "No collector is known"),
    ],
)
def test_what_cannot_be_sent_is_named(tmp_path: Path, plan: SimulationPlan, url: str, code: int, problem: str) -> None:
    with pytest.raises(SetupError, match=problem) as raised:
        _find_collector(plan, Connections(data_dir=tmp_path), url, "rta_w_key")
    assert raised.value.exit_code == code


def test_a_given_collector_needs_no_running_platform(tmp_path: Path) -> None:
    plan = SimulationPlan(NOW_MS, rate=0, events_max=10)
    assert _find_collector(plan, Connections(data_dir=tmp_path), URL, "rta_w_key")[:2] == (URL, "rta_w_key")


@pytest.mark.parametrize("takes_connections", [False, True], ids=["nobody listens", "nobody answers"])
def test_a_dead_collector_ends_the_run_with_the_number_of_events(tmp_path: Path, takes_connections: bool) -> None:
    """One that takes connections without a word is given up at the first answer that is missing."""
    with socket.socket() as nobody_listens:
        nobody_listens.bind(("127.0.0.1", 0))
        if takes_connections:
            nobody_listens.listen(100)
        url = f"http://127.0.0.1:{nobody_listens.getsockname()[1]}"
        options = ["--via", "http", "--url", url, "--write-key", "rta_w_key", "--rate", "0", "--events", "20"]
        process = subprocess.run(
            [sys.executable, "-m", "rtaplatform.cli.main", "simulate", *options, "--give-up", "0.1s"],
            cwd=tmp_path, env={**os.environ, "RTA_SUPERVISED": "1"}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert _count_waiting_connections(nobody_listens) <= LANES
    assert process.returncode == 3, process.stderr
    assert f"The collector {url} gave no answer for 0.1 s: 20 events were not acknowledged." in process.stderr
    assert "The collector is away; waiting for up to 0.1 s." in process.stderr


def _count_waiting_connections(listener: socket.socket) -> int:
    count = 0
    listener.setblocking(False)
    while True:
        try:
            listener.accept()[0].close()
        except OSError:  # there are no more, or nobody listens
            return count
        count += 1
