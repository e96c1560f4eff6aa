"""`rta up` on servers that are given, as a person runs it, and what other commands say of it. One start for all."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from confluent_kafka import Producer
from pydantic import SecretStr

from rtaplatform.analytics.answer.trending import SCORE_DIGITS
from rtaplatform.cli.live_summary import LiveSummaryReader
from rtaplatform.cli.table_key import reading_key
from rtaplatform.core.errors import SetupError
from rtaplatform.local.data.data_dir import LocalDemoKeys
from rtaplatform.local.data.instance_file import read_running
from rtaplatform.local.platform import Instance
from rtaplatform.local.supervisor.supervisor import Supervisor
from rtaplatform.operate.project_operations import find_projects
from rtaplatform.settings import CatalogSettings
from tests import plain_http
from tests.acceptance.test_postgres_away import prepare, wait_until
from tests.comparison import SKETCH_ERROR_MAX
from tests.integration.servers import Servers, empty_log

SOURCE = Path(__file__).parents[2] / "src"
READY_SECONDS_MAX = 120
COMMAND_SECONDS_MAX = 240  # a machine with much else to do sends 200 records a second
ESTIMATE_SLACK = 2  # persons
SCORE_ROUNDING = 0.5 / 10**SCORE_DIGITS
POPULAR_BY = ("views", "adds_to_cart", "orders", "units", "revenue", "visitors")
TRENDING_BY = ("views", "adds_to_cart", "orders", "units", "revenue")
KEYS = ("write_key", "read_key", "admin_key")


@dataclass(frozen=True)
class ComparedScore:
    """A product's score, with that of the first product: all fall by the same share with each hour.

    Two are equal if their shares of the first one are, within what rounding both of them may have changed.
    """

    score: float
    first: float

    def __eq__(self, other: object) -> bool:
        assert isinstance(other, ComparedScore)
        expected = self.score / self.first * other.first
        rounding = SCORE_ROUNDING * (1 + (2 * other.first + self.score) / self.first)
        return bool(abs(expected - other.score) <= rounding)

    def __hash__(self) -> int:
        raise TypeError


@dataclass
class Shell:
    """A running `rta up` in `folder`, and other commands beside it."""

    folder: Path
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        with (self.folder / "output.txt").open("wb") as output:
            words = ["up", "--data-dir", "data", "--port", "0", "--ready-file", "ready.json", *options]
            self.process = subprocess.Popen(self._make_command(*words), **self._place(), stdout=output, stderr=output)
        wait_until(lambda: (self.folder / "ready.json").exists() or self.has_ended(), READY_SECONDS_MAX)
        assert not self.has_ended(), self.read_output()

    def run(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        place = self._place() | {"env": {**self.environment, **variables}}
        return subprocess.run(
            self._make_command(*words),
            **place,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
        )

    def has_ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def read_output(self) -> str:
        return (self.folder / "output.txt").read_text()

    @property
    def ready(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.folder / "ready.json").read_text())
        return content

    def read_instance(self) -> Instance:
        running = read_running(self.folder / "data")
        assert running is not None
        keys = LocalDemoKeys(**{name: self.ready[name] for name in KEYS})
        return Instance(running.url, keys, running.addresses, Supervisor(self.folder, print))

    def ask(self, method: str, path: str, key: str, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}"}
        return plain_http.request(method, f"{self.ready['url']}{path}", headers=headers, timeout=30, **options)

    @staticmethod
    def _make_command(*words: str) -> list[str]:
        return [sys.executable, "-m", "rtaplatform.cli.main", *words]

    def _place(self) -> dict[str, Any]:
        return {"cwd": self.folder, "env": self.environment}


@pytest.fixture(scope="module")
def shell(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    empty_log(servers)
    prepare(servers, demo=False)
    outer_variables = {name: value for name, value in os.environ.items() if not name.startswith("RTA_")}
    settings = {
        "RTA_KAFKA_BOOTSTRAP_SERVERS": servers.kafka_bootstrap_servers,
        "RTA_REDIS_URL": servers.redis_url,
        "RTA_REDIS_LOADER_URL": servers.redis_loader_url,
        "RTA_POSTGRES_URL": servers.postgres_url,
        "RTA_POSTGRES_MIGRATE_URL": servers.postgres_owner_url,
        "RTA_API_HOST": "127.0.0.2",
        "RTA_WORKER_GROUP_ID": "rta-up",
    }
    running = Shell(tmp_path_factory.mktemp("up"), {**outer_variables, **settings, "PYTHONPATH": str(SOURCE)})
    running.start("--simulate", "0")
    yield running
    if running.process and running.process.poll() is None:
        running.process.terminate()
        running.process.wait(20)


def test_the_api_listens_where_the_environment_says(shell: Shell) -> None:
    assert shell.ready["url"].startswith("http://127.0.0.2:")


def test_status_says_where_everything_is_and_shows_no_password(shell: Shell) -> None:
    status = shell.run("status", "--data-dir", "data", "--json")
    state = json.loads(status.stdout)
    assert (status.returncode, state["state"], state["problems"]) == (0, "ready", [])
    assert state["redis"].startswith("redis://***@")
    assert state["last_5_minutes"]["unread_workers"] == []
    assert "rta_worker_records" in plain_http.get(state["signals"]["worker-1"]).text
    assert "rta_profiles_events" in plain_http.get(state["signals"]["profiles"]).text
    text = shell.run("status", "--data-dir", "data").stdout + shell.read_output()
    for name in ("redis", "postgres"):
        assert shell.ready[name].partition("://")[2].partition("@")[0].partition(":")[2] not in text


def test_every_answer_is_the_same_after_kill_9_and_after_a_rebuild(shell: Shell) -> None:
    """Those of persons too, which are the truth of the simulator, and answers that are kept between questions."""
    counted = _count_events(shell)
    # One day, and before any other event: what is over 24 hours late for its person depends on the order of reading.
    ends_at = datetime.now(UTC).date() - timedelta(days=1)
    history = ("--start", f"{ends_at}T20:00Z", "--backfill", "20h", "--rate", "0.14", "--users", "300", "--seed", "7")
    words = ("--double-reports", "0", "--project", "demo", "--truth", "truth.json", "--data-dir", "data")
    assert shell.run("simulate", *history, *words).returncode == 0
    truth = json.loads((shell.folder / "truth.json").read_text())["projects"]["demo"]
    wait_until(lambda: _count_events(shell) == counted + truth["totals"]["applied"], 90)
    before = _ask_everything(shell)
    assert _find_differences(before, _ask_everything(shell)) == [], "a kept answer is another one"
    _require_the_truth(before, truth)
    running = read_running(shell.folder / "data")
    assert running is not None
    for name in ("worker-1", "api"):
        os.kill(running.children[name], signal.SIGKILL)
    wait_until(lambda: plain_http.get(f"{shell.ready['url']}/health/ready").status_code == 200, 90)
    # A new API looks at the log again before it says that totals are up to date. Until then its answers say "behind".
    wait_until(lambda: "behind the log" not in shell.ask("GET", "/v1/engagement", shell.ready["read_key"]).text, 90)
    assert _find_differences(before, _ask_everything(shell)) == [], "after kill -9"
    rebuilt = shell.run("rebuild", "--data-dir", "data", "--json")
    assert rebuilt.returncode == 0, rebuilt.stderr
    after = _ask_everything(shell)
    # An answer without an error is no estimate: its events count for several categories, or it is exact.
    estimates = {path: answer for path, answer in before.items() if answer["meta"]["error"]}
    sums = {path: answer for path, answer in before.items() if path not in estimates}
    assert min(len(sums), len(estimates)) > 30
    assert _find_differences(sums, after) == [], "after a rebuild"
    assert [line for path in estimates for line in _find_beyond_error(path, estimates[path], after[path])] == []


def _find_beyond_error(path: str, before: Any, after: Any) -> list[str]:
    """Numbers of two estimates that are further apart than both of their errors, and what is no number and differs.

    Sketches take a person's id as it was known when the event was counted, and a rebuild reads in order of time. So a
    few persons may be in one of the two under another id.
    """
    if isinstance(before, dict) and before.keys() == after.keys():
        return [line for name in before for line in _find_beyond_error(f"{path} {name}", before[name], after[name])]
    if isinstance(before, list) and len(before) == len(after):
        pairs = zip(_sort_rows(before), _sort_rows(after), strict=True)
        return [line for pair in pairs for line in _find_beyond_error(path, *pair)]
    if {type(before), type(after)} <= {int, float}:
        apart_max = 2 * SKETCH_ERROR_MAX * max(before, after) + (ESTIMATE_SLACK if type(before) is int else 0)
        return [] if abs(before - after) <= apart_max else [f"{path}: {before}, then {after}"]
    return [] if before == after else [f"{path}: {before}, then {after}"]


def _sort_rows(rows: list[Any]) -> list[Any]:
    """Rows of results by what they are about: their order is that of their numbers, which are estimates."""
    names = ("dimensions", "product_id")
    return sorted(rows, key=lambda row: str([row[name] for name in names if name in row]) if type(row) is dict else "")


def _find_differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [
        f"{path}: {name} was {before[path][name]}, is {after[path][name]}"
        for path in before
        for name in before[path]
        if before[path][name] != after[path][name]
    ]


def _count_events(shell: Shell) -> int:
    answer = shell.ask("GET", "/v1/metrics/events?from=-5d&bots=include", shell.ready["read_key"])
    return int(answer.json()["results"][0]["total"])


def _ask_everything(shell: Shell) -> dict[str, Any]:
    """Each metric by each dimension, engagement, cohorts, products, of days before today: path → answer as it stays."""
    key, today = shell.ready["read_key"], datetime.now(UTC).date()
    period = f"from={today - timedelta(days=4)}&to={today}"
    paths = [f"/v1/engagement?{period}", f"/v1/sessions/lengths?{period}", f"/v1/retention?periods=4&{period}"]
    paths += [f"/v1/retention?cohort=week&periods=2&{period}"]
    paths += [f"/v1/products/popular?by={by}&window=7d&limit=1000" for by in POPULAR_BY]
    paths += [f"/v1/products/trending?by={by}&window=7d&limit=500" for by in TRENDING_BY]
    paths += [f"/v1/products/p-{number}/metrics?{period}" for number in range(1, 9)]
    for metric in shell.ask("GET", "/v1/metrics", key).json()["items"]:
        if metric["name"] != "online":
            paths.append(f"/v1/metrics/{metric['name']}?{period}&interval=day")
            paths += [
                f"/v1/metrics/{metric['name']}?{period}&breakdown={name}&limit=1000" for name in metric["dimensions"]
            ]
    answers = {}
    for path in paths:
        answer = shell.ask("GET", path, key)
        assert answer.status_code == 200, f"{path}: {answer.text}"
        document = answer.json()
        answers[path] = _leave_out_time(path, document)
    return answers


def _leave_out_time(path: str, document: dict[str, Any]) -> dict[str, Any]:
    """What does not change while time passes and nothing comes."""
    document.pop("online", None)
    for name in ("as_of", "lag_ms"):
        del document["meta"][name]
    if "window=" in path:
        for name in ("from", "to", "previous_from", "previous_to"):
            document.pop(name, None)
    scored_rows = [row for row in document.get("results", ()) if "score" in row]
    first = scored_rows[0]["score"] if scored_rows else 0.0
    for row in scored_rows:
        row["score"] = ComparedScore(row["score"], first)
    return document


def _require_the_truth(answers: dict[str, Any], truth: dict[str, Any]) -> None:
    """Sessions and active persons of each day are those of the simulator's truth."""
    by_day = {path.split("?")[0].rpartition("/")[2]: a for path, a in answers.items() if "interval=day" in path}
    sessions = Counter[int]()
    for row in truth["sessions"]:
        if row["kind"] == "day":
            sessions[row["start"]] += row["sessions"]
    daily = {row["start"]: row.get("daily", 0) for row in truth["active_users"]}
    for metric, true in (("sessions", sessions), ("active_users", daily)):
        points = by_day[metric]["results"][0]["points"]
        starts = [int(datetime.fromisoformat(time).timestamp()) // 60 for time, _ in points]
        assert [n for _, n in points] == [true.get(start, 0) for start in starts], metric
        assert sum(n for _, n in points) > 100, metric


def test_the_live_table_shows_any_project_with_a_key_that_ends_with_it(shell: Shell) -> None:
    creation = shell.ask("POST", "/v1/projects", shell.ready["admin_key"], json={"slug": "tea-shop", "name": "Tea"})
    assert creation.status_code == 201, creation.text
    write_key = creation.json()["keys"]["write_key"]
    event = {"event": "Tea Poured", "anonymousId": "a-1", "messageId": "tea-1"}
    assert shell.ask("POST", "/v1/track", write_key, json=event).status_code == 200
    with reading_key(shell.read_instance(), "tea-shop") as key:
        reader, read_key = LiveSummaryReader(shell.ready["url"], key), key()
        wait_until(lambda: shell.ask("GET", "/v1/metrics/events", read_key).json()["results"][0]["total"] == 1)
        assert reader.read().problems == ()
    wait_until(lambda: shell.ask("GET", "/v1/metrics/events", read_key).status_code == 401, 60)
    with pytest.raises(SetupError, match="There is no project 'nope'"), reading_key(shell.read_instance(), "nope"):
        pass


def test_profiles_that_hang_are_told_until_they_go_on(shell: Shell) -> None:
    running = read_running(shell.folder / "data")
    assert running is not None

    def status() -> dict[str, Any]:
        process = shell.run("status", "--data-dir", "data", "--json")
        assert process.returncode == 0, "degraded is ready"
        content: dict[str, Any] = json.loads(process.stdout)
        return content

    os.kill(running.children["profiles"], signal.SIGSTOP)
    try:
        event = {"userId": "u-hung", "anonymousId": "a-hung", "traits": {"plan": "x"}}
        answer = shell.ask("POST", "/v1/identify", shell.ready["write_key"], json=event)
        assert answer.status_code == 200, answer.text
        wait_until(lambda: status()["degraded"] == ["profiles"], 90)
        report = status()
        assert [line for line in report["problems"] if line.startswith("profiles: they stand still: ")]
        assert report["state"] == "ready"
        assert shell.run("status", "--data-dir", "data").stdout.startswith("ready, degraded (profiles): ")
        assert plain_http.get(f"{shell.ready['url']}/health/ready").json()["degraded"] == ["profiles"]
    finally:
        os.kill(running.children["profiles"], signal.SIGCONT)
    wait_until(lambda: not status()["degraded"], 90)


def test_events_of_a_project_that_does_not_exist_are_not_simulated(shell: Shell) -> None:
    refusal = shell.run("simulate", "--project", "nope", "--events", "10", "--data-dir", "data")
    assert refusal.returncode == 2
    assert "There is no project 'nope'" in refusal.stderr
    assert "demo" in refusal.stderr
    right = shell.run("simulate", "--project", "demo", "--events", "10", "--rate", "0", "--json")
    assert (right.returncode, json.loads(right.stdout)["sent"]) == (0, 10), right.stderr


def test_rubbish_is_shown_and_a_dead_letter_counts_once_however_often_it_is_replayed(shell: Shell) -> None:
    ready = shell.ready
    orphan = {"projectId": "late-shop", "type": "track", "event": "Odd Sale", "anonymousId": "me", "messageId": "m-1"}
    producer = Producer({"bootstrap.servers": ready["kafka"]})
    for value in (b"{", json.dumps(orphan).encode(), b'{"projectId": "demo", "type": "fax", "anonymousId": "me"}'):
        producer.produce("rta.events.server", key=b"late-shop:me", value=value)
    assert producer.flush(10) == 0
    assert shell.ask("POST", "/v1/track", ready["write_key"], json={"event": "Nobody"}).status_code == 400
    for kind, reason in (("dead", "unknown_type"), ("rejected", "missing_identity")):
        wait_until(partial(_has_letter, shell, kind, reason), READY_SECONDS_MAX)
    wait_until(lambda: {"dead", "rejected"} <= _read_recent_statuses(shell), READY_SECONDS_MAX)
    unknown = json.loads(shell.run("dead-letters", "list", "--unknown", "--json", "--data-dir", "data").stdout)
    assert {"not_json", "unknown_project"} <= unknown["counts"].keys()
    (letter,) = (item["id"] for item in unknown["items"] if item["event"] == "Odd Sale")

    creation = shell.ask("POST", "/v1/projects", ready["admin_key"], json={"name": "Late", "slug": "late-shop"})
    key = creation.json()["keys"]["read_key"]
    for _ in range(2):
        assert shell.run("dead-letters", "replay", letter, "--data-dir", "data").returncode == 0
    wait_until(lambda: _ask_events(shell, key)["meta"]["duplicates"] == 1, READY_SECONDS_MAX)
    assert _ask_events(shell, key)["results"][0]["total"] == 1


def _has_letter(shell: Shell, kind: str, reason: str) -> bool:
    answer = shell.ask("GET", "/v1/dead-letters", shell.ready["admin_key"], params={"kind": kind})
    return reason in answer.json().get("counts", {})


def _read_recent_statuses(shell: Shell) -> set[str]:
    answer = shell.ask("GET", "/v1/events/recent", shell.ready["read_key"])
    return {item["status"] for item in answer.json()["items"]}


def _ask_events(shell: Shell, key: str) -> dict[str, Any]:
    answer: dict[str, Any] = shell.ask("GET", "/v1/metrics/events", key).json()
    return answer


def test_another_data_directory_does_not_take_the_demo_project_over(shell: Shell) -> None:
    others = {f"RTA_DEMO_{name.upper()}": f"rta_{name[0]}_other" for name in KEYS}
    refusal = shell.run("migrate", "--demo", **others)
    assert refusal.returncode == 3
    assert "demo project already" in refusal.stderr
    assert "--replace-demo-keys" in refusal.stderr
    assert shell.ask("GET", "/v1/metrics", shell.ready["read_key"]).status_code == 200
    own = {f"RTA_DEMO_{name.upper()}": shell.ready[name] for name in KEYS}
    assert shell.run("migrate", "--demo", **own).returncode == 0
    catalog = CatalogSettings(url=SecretStr(shell.ready["postgres"]))
    assert "demo" in asyncio.run(find_projects(catalog))


def test_a_server_that_cannot_be_reached_is_named_before_anything_starts(shell: Shell) -> None:
    refusal = shell.run("up", "--data-dir", "other", "--kafka", "no-such-host.invalid:9092")
    assert refusal.returncode == 3
    assert "no-such-host.invalid" in refusal.stderr
    assert not (shell.folder / "other").exists()


def test_sigterm_stops_it_and_takes_the_ready_file_away(shell: Shell) -> None:
    assert shell.process is not None
    shell.process.send_signal(signal.SIGTERM)
    assert shell.process.wait(15) == 0
    assert not (shell.folder / "ready.json").exists()
    assert shell.read_output().rstrip().endswith("Stopped.")
