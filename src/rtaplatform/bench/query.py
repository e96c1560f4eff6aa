"""How long does each endpoint take over HTTP, with a given number of events counted?

The benchmark writes a day or more of simulated events to Kafka, and the real workers count them. Then it asks every
question, one after the other, on one connection. It does so once at rest, and once while events arrive and are counted.
Some questions are repeated over longer and longer periods, to show how their cost grows. Cohorts have a history only if
the events are those of many days.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from rtaplatform.bench.asking import HttpAsker, HttpQuestion
from rtaplatform.bench.pipeline import fill, keep_sending, wait_counted
from rtaplatform.bench.products import fill_catalog
from rtaplatform.bench.report import BenchReport, find_percentiles_ms
from rtaplatform.bench.servers import read_cpu_seconds
from rtaplatform.bench.stack import BenchStack, run_in_background, running_stack, say
from rtaplatform.stream.kafka.broker import Broker

DAY_SECONDS = 86_400
COUNTED_SECONDS_MAX = 7_200.0
PAUSE_SECONDS = 0.06  # between questions: longer than a worker waits for its batch, so that totals have changed
DASHBOARD = ("events", "page_views", "visitors", "orders", "revenue", "product_views")
QUESTIONS = {
    "the list of metrics": HttpQuestion("/v1/metrics"),
    "online": HttpQuestion("/v1/metrics/online"),
    **{f"events of {period}": HttpQuestion(f"/v1/metrics/events?from=-{period}") for period in ("1h", "6h", "24h")},
    **{
        f"events of {period} by minute": HttpQuestion(f"/v1/metrics/events?from=-{period}&interval=minute")
        for period in ("1h", "6h", "24h")
    },
    "events by event and source": HttpQuestion("/v1/metrics/events?breakdown=event,source&limit=100"),
    "page views by country and device": HttpQuestion("/v1/metrics/page_views?breakdown=country,device&limit=100"),
    "events of a country, by hour": HttpQuestion("/v1/metrics/events?country=DE&interval=hour"),
    "visitors": HttpQuestion("/v1/metrics/visitors"),
    "visitors by source, by hour": HttpQuestion("/v1/metrics/visitors?breakdown=source&interval=hour"),
    "revenue, against the day before": HttpQuestion("/v1/metrics/revenue?compare=previous_period"),
    "product views by product": HttpQuestion("/v1/metrics/product_views?breakdown=product_id"),
    "product views by category": HttpQuestion("/v1/metrics/product_views?breakdown=product_category"),
    "popular by views": HttpQuestion("/v1/products/popular?by=views"),
    "popular by revenue": HttpQuestion("/v1/products/popular?by=revenue"),
    "popular by visitors": HttpQuestion("/v1/products/popular?by=visitors"),
    "six metrics at once": HttpQuestion("/v1/query", {"queries": [{"metric": name} for name in DASHBOARD]}),
    "engagement": HttpQuestion("/v1/engagement"),
    "engagement of 30 days": HttpQuestion("/v1/engagement?from=-30d"),
    "sessions by source and country": HttpQuestion("/v1/metrics/sessions?breakdown=source,country&interval=hour"),
    "retention of 90 days": HttpQuestion("/v1/retention?periods=90"),
    "products": HttpQuestion("/v1/products?limit=50"),
    "a product": HttpQuestion("/v1/products/p-1"),
}


class RowSize(NamedTuple):
    events: int
    persons: int
    products: int
    days: int = 1  # over which the events are spread, up to now


def measure(report: BenchReport, size: RowSize, *, times: int, meanwhile: int, workers: int, seed: int) -> None:
    with running_stack(workers=workers) as stack:
        measure_on(stack, report, size, times=times, meanwhile=meanwhile, seed=seed)


def measure_on(stack: BenchStack, report: BenchReport, size: RowSize, *, times: int, meanwhile: int, seed: int) -> None:
    """Fill a running platform and ask it. `meanwhile` is the number of events per second during the second run."""
    fill_catalog(stack.postgres, size.products)
    say(f"Writing {size.events:,} events")
    rate = size.events / size.days / DAY_SECONDS
    fill(stack.kafka_settings, size.events, users=size.persons, products=size.products, seed=seed, rate=rate)
    _wait_counted(stack)
    _ask(report, stack, times, 0)
    if meanwhile:
        with run_in_background(keep_sending, stack.kafka_settings, meanwhile, size.persons, size.products, seed + 1):
            _ask(report, stack, times, meanwhile)


def _wait_counted(stack: BenchStack) -> None:
    store, total = stack.store(), sum(Broker(stack.kafka_settings).read_ends().values())
    say(f"Counting {total:,} records")
    wait_counted(store, total, COUNTED_SECONDS_MAX)
    store.close()


def _ask(report: BenchReport, stack: BenchStack, times: int, meanwhile: int) -> None:
    asker, api = HttpAsker(stack.url, stack.keys.read_key), stack.pids["api"]
    for name, question in QUESTIONS.items():
        first, size = asker.time_answer(question), len(asker.ask(question))
        cpu = read_cpu_seconds(api)
        durations = []
        for _ in range(times):
            durations.append(asker.time_answer(question))
            time.sleep(PAUSE_SECONDS if meanwhile else 0)  # at rest, nothing changes between questions
        cpu_ms = round((read_cpu_seconds(api) - cpu) / times * 1000, 2)
        first_ms = round(first * 1000, 1)
        row = {"first_ms": first_ms, **find_percentiles_ms(durations), "api_cpu_ms": cpu_ms, "bytes": size}
        report.add_row(meanwhile=meanwhile, question=name, **row)
