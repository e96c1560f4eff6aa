"""How long do popular products, and questions by category, take with a catalog of so many products?

Every bucket of the last day is filled up to its cap: 100,000 products an hour and 20,000 a minute. New views are
counted during the measurement. The questions go over HTTP, one after the other, on one connection.
"""

from __future__ import annotations

import time

import psycopg

from rtaplatform.bench.asking import HttpAsker, HttpQuestion
from rtaplatform.bench.report import BenchReport, find_percentiles_ms
from rtaplatform.bench.servers import read_cpu_seconds
from rtaplatform.bench.stack import PROJECT_ID, BenchStack, running_stack, say
from rtaplatform.bench.views import fill, write_views

QUESTIONS = {
    "popular": HttpQuestion("/v1/products/popular?by=views&window=24h&limit=20"),
    "popular of a category": HttpQuestion("/v1/products/popular?by=views&window=24h&limit=20&category=category%207"),
    "breakdown by category": HttpQuestion("/v1/metrics/product_views?breakdown=product_category&limit=100"),
    "filter by category": HttpQuestion("/v1/metrics/product_views?product_category=category%207"),
}


def measure(report: BenchReport, *, products: int, seconds: float, views_per_second: int, seed: int) -> None:
    """Print the first answer of each question, then the percentiles of the rest."""
    with running_stack(workers=0) as stack:
        fill_catalog(stack.postgres, products)
        say(f"Filled {fill(stack, products, seed)} buckets")
        with write_views(stack, products, views_per_second=views_per_second, seed=seed):
            _ask(report, stack, seconds)


def fill_catalog(postgres: str, products: int) -> None:
    """Write products of 40 categories and 300 brands."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("DELETE FROM products WHERE project_id = %s", (PROJECT_ID,))
        connection.execute(
            "INSERT INTO products (project_id, id, name, category, brand, price, currency) "
            "SELECT %s, 'p-' || n, 'Product ' || n, 'category ' || n %% 40, 'brand ' || n %% 300, 9.5, 'EUR' "
            "FROM generate_series(0, %s) n",
            (PROJECT_ID, products - 1),
        )


def _ask(report: BenchReport, stack: BenchStack, seconds: float) -> None:
    asker = HttpAsker(stack.url, stack.keys.read_key)
    for name, question in QUESTIONS.items():
        report.add_row(question=name, first_ms=round(1000 * asker.time_answer(question), 1))
    latencies: dict[str, list[float]] = {name: [] for name in QUESTIONS}
    ends, cpu = time.monotonic() + seconds, read_cpu_seconds(stack.pids["api"])
    while time.monotonic() < ends:
        for name, question in QUESTIONS.items():
            latencies[name].append(asker.time_answer(question))
            time.sleep(0.005)  # a real client and a real API are not always busy
    for name, durations in latencies.items():
        report.add_row(question=name, asked=len(durations), **find_percentiles_ms(durations))
    # On a shared machine, CPU time is more reliable than elapsed time.
    report.add_row(
        api_cpu_ms_each=round((read_cpu_seconds(stack.pids["api"]) - cpu) * 1000 / sum(map(len, latencies.values())), 2)
    )
