"""The benchmarks run, on the real servers and at tiny sizes, and say what they promise. No time is looked at."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from rtaplatform.bench import apply, latency, query, rebuild
from rtaplatform.bench.collecting import collector_cost, offered_load
from rtaplatform.bench.live import live_delivery
from rtaplatform.bench.memory import memory
from rtaplatform.bench.report import BenchReport
from rtaplatform.bench.stack import BenchStack, running_stack


@pytest.fixture(scope="module")
def stack() -> Iterator[BenchStack]:
    with running_stack(workers=1) as running:
        yield running


def read_figures(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """What was printed, without the head, which must tell where the figures come from."""
    head, *figures = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert head["seed"] == 1
    assert head["commit"] is not None
    assert head["machine"]["cores"] >= 1
    return figures


def check_positive(row: dict[str, Any], *names: str) -> None:
    assert {name: row[name] > 0 for name in names} == dict.fromkeys(names, True)


def test_latency_is_told_at_each_share_of_the_greatest_rate(
    stack: BenchStack, capsys: pytest.CaptureFixture[str]
) -> None:
    latency.measure_on(stack, BenchReport("latency", as_json=True, seed=1), probes=2, backlog=2_000, seed=1)
    greatest, *shares = read_figures(capsys)
    check_positive(greatest, "greatest_events_per_s")
    assert [row["share"] for row in shares] == [0.01, 0.1, 0.5, 0.9]
    for row in shares:
        check_positive(row, "p50_ms", "p99_ms")


def test_every_question_is_answered_and_timed(stack: BenchStack, capsys: pytest.CaptureFixture[str]) -> None:
    report, size = BenchReport("query", as_json=True, seed=1), query.RowSize(2_000, 100, 200)
    query.measure_on(stack, report, size, times=2, meanwhile=50, seed=1)
    figures = read_figures(capsys)
    questions = [(meanwhile, question) for meanwhile in (0, 50) for question in query.QUESTIONS]
    assert [(row["meanwhile"], row["question"]) for row in figures] == questions
    for row in figures:
        check_positive(row, "p50_ms", "p99_ms", "bytes")


def test_collecting_is_told_step_by_step_and_beside_a_plain_loop(capsys: pytest.CaptureFixture[str]) -> None:
    collector_cost.measure(BenchReport("collect", as_json=True, seed=1), events_total=200, batch_events=20)
    *steps, singles, single_requests, batches, batch_requests, loop = read_figures(capsys)
    assert [row["way"] for row in steps] == ["steps of a single", "steps of a batch"]
    for row in steps:
        check_positive(row, "read_event_us", "write_value_us")
    for row in (singles, single_requests, batches, batch_requests, loop):
        check_positive(row, "events_per_cpu_s", "cpu_us")


def test_three_loads_of_calls_are_told(stack: BenchStack, capsys: pytest.CaptureFixture[str]) -> None:
    offered_load.measure_on(stack, BenchReport("collect", as_json=True, seed=1), seconds=1)
    greatest, half, too_much = read_figures(capsys)
    assert [row["way"] for row in (greatest, half, too_much)] == ["greatest rate", "0.5 of it", "3 of it"]
    check_positive(greatest, "calls_per_s", "api_cpu_us", "status_200", "p50_ms")
    check_positive(half, "calls_per_s", "goodput", "p99_ms")
    check_positive(too_much, "calls_per_s", "goodput")


def test_a_rebuild_is_timed_beside_a_worker(capsys: pytest.CaptureFixture[str]) -> None:
    report = BenchReport("rebuild", as_json=True, seed=1)
    rebuild.measure(report, events_total=2_000, users=100, products=50, rate=20.0, seed=1)
    worker, rebuilt = read_figures(capsys)
    assert (worker["what"], rebuilt["what"]) == ("worker", "rebuild")
    check_positive(worker, "records_per_s")
    check_positive(rebuilt, "records_per_s", "valkey_cpu_us")


def test_calls_of_the_store_are_timed_and_weighed(capsys: pytest.CaptureFixture[str]) -> None:
    cases = [apply.ApplyCase(50, 1, 20), apply.ApplyCase(400, 3, 20)]
    apply.measure(BenchReport("apply", as_json=True, seed=1), calls=3, seconds=0.5, seed=1, cases=cases, rates=[200])
    steady, *figures = read_figures(capsys)
    assert steady["events_per_s"] == 200
    check_positive(steady, "p50_ms", "p99_ms", "p50_kb")
    assert [(row["batch_max"], row["projects"], row["calls"]) for row in figures] == [(50, 1, 3), (400, 3, 3)]
    assert [row["p50_records"] for row in figures] == [50, 400]
    check_positive(figures[0], "p50_ms", "p99_ms", "p50_kb")
    assert figures[1]["p50_kb"] > figures[0]["p50_kb"]


def test_memory_is_told_of_each_thing_and_of_the_processes(capsys: pytest.CaptureFixture[str]) -> None:
    memory.measure(BenchReport("memory", as_json=True, seed=1), events=1_000, seed=1, persons=2_000)
    figures = read_figures(capsys)
    rollups = ("activity", "events", "sales", "pages", "acquisition", "sessions")
    assert [row["of"] for row in figures] == [
        *["field of products"] * 5,
        *[f"field of {name}" for name in rollups for _ in range(2)],
        *["sketch"] * 5,
        *["dedup id"] * 3,
        *["loose id"] * 3,
        *["order id", "visitor", "person"],
        *["event"] * 3,
    ]
    for row in figures[:-3]:
        check_positive(row, "bytes_each")
    check_positive(figures[-1], "bytes_each", "valkey_rss_mb", "kafka_rss_mb", "worker_rss_mb")


def test_delivery_to_live_clients_is_told_beside_stalled_ones_and_after_a_restart(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = BenchReport("live", as_json=True, seed=1)
    live_delivery.measure(report, streams=12, sockets=3, stalled=4, rate=50.0, probes=3, seed=1)
    opened, healthy, beside, stalled, restart = read_figures(capsys)
    assert (opened["streams"], opened["sockets"], beside["stalled"]) == (12, 3, 4)
    assert [row["phase"] for row in (healthy, beside, restart)] == ["healthy", "beside stalled", "restart"]
    for row in (healthy, beside):
        check_positive(row, "p50_ms", "p99_ms")
    assert {"gone_after_that_s", "memory_growth_mb"} <= stalled.keys()
    check_positive(restart, "ready_s")
