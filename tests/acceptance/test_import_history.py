"""`rta import` on real servers: events at their own times, the same content once, and on from where it was stopped."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from confluent_kafka import Message

from tests.acceptance.test_collect import SOURCES, prepare, read_all
from tests.integration.servers import Servers

HEADER = "timestamp,user_id,event,order_id,revenue\n"
GOOD = [f"2026-11-{1 + n % 20:02d}T10:00:00Z,u-{n % 7},Order Completed,o-{n},1.25" for n in range(300)]


@pytest.fixture(scope="module", autouse=True)
def prepared(servers: Servers) -> None:
    prepare(servers)


def run_import(servers: Servers, *arguments: str | Path) -> tuple[int, dict[str, Any], str]:
    environment = {
        **os.environ, "PYTHONPATH": str(SOURCES), "RTA_KAFKA_BOOTSTRAP_SERVERS": servers.kafka_bootstrap_servers,
        "RTA_POSTGRES_URL": servers.postgres_url,
    }  # fmt: skip
    command = [sys.executable, "-m", "rtaplatform.cli.main", "import", "--from", "csv", "--json", *arguments]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    summaries: list[dict[str, Any]] = json.loads(process.stdout)["files"] if process.stdout else []
    return process.returncode, summaries[0] if summaries else {}, process.stderr


def read_imported(servers: Servers) -> list[tuple[Message, dict[str, Any]]]:
    """Of all records, those of an import. Other tests' records need not even be JSON."""
    values = [(message, message.value() or b"") for message in read_all(servers)]
    return [(message, json.loads(value)) for message, value in values if b'"messageId":"import:' in value]


def test_history_comes_once_and_its_bad_rows_are_told(servers: Servers, tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text(HEADER + "\n".join([*GOOD, "soon,u,x,,", "2026-11-01T10:00:00Z,,x,,"]) + "\n")
    code, summary, _ = run_import(servers, path)
    assert (code, summary["outcome"], summary["events"], summary["refused"]) == (4, "imported", 300, 2)
    assert [fault["line"] for fault in summary["faults"]] == [302, 303]
    imported_records = read_imported(servers)
    assert len({record["messageId"] for _, record in imported_records}) == len(imported_records) == 300
    for message, record in imported_records:
        assert record["timestamp"].startswith("2026-11-")
        assert message.timestamp()[1] % 86_400_000 == 10 * 3_600_000

    again = tmp_path / "renamed.csv.gz"
    again.write_bytes(gzip.compress(path.read_bytes()))
    code, summary, _ = run_import(servers, again)
    assert (code, summary["outcome"], len(read_imported(servers))) == (0, "known", 300)
    code, summary, _ = run_import(servers, again, "--again")
    assert (summary["outcome"], len(read_imported(servers))) == ("imported", 600)


def test_an_import_that_was_stopped_goes_on(servers: Servers, tmp_path: Path) -> None:
    before = len(read_imported(servers))
    path = tmp_path / "stopped.csv"
    path.write_text(HEADER + "\n".join(GOOD[:100]) + "\n")
    assert run_import(servers, path)[0] == 0
    with psycopg.connect(servers.postgres_url) as connection:  # as a kill leaves it, after 60 events
        connection.execute("UPDATE imported_files SET sent = 60, is_done = false WHERE name = 'stopped.csv'")
    code, summary, _ = run_import(servers, path)
    assert (code, summary["outcome"]) == (0, "resumed")
    ids = [record["messageId"] for _, record in read_imported(servers)]
    assert (len(ids) - before, len(set(ids)) - before) == (140, 100)


def test_what_cannot_be_imported_is_said(servers: Servers, tmp_path: Path) -> None:
    path = tmp_path / "totals.csv"
    path.write_text("day,orders\n2026-11-01,5\n")
    code, _, errors = run_import(servers, path)
    assert code == 2
    assert "totals" in errors
    code, _, errors = run_import(servers, path, "--project", "nope")
    assert (code, "There is no project 'nope'" in errors) == (2, True)
    assert run_import(servers, tmp_path / "absent.csv")[0] == 2
