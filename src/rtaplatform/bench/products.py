"""How long do popular products, and questions by category, take with a catalog of so many products?

Every bucket of the last day is filled to its cap, 100,000 products an hour and 20,000 a minute, and views go on being
counted while questions are asked over HTTP, one after the other, on one connection.
"""

from __future__ import annotations

import time

import psycopg

from rtaplatform.bench.asking import HttpAsker, HttpQuestion
from rtaplatform.bench.report import BenchReport, milliseconds
from rtaplatform.bench.servers import cpu_seconds
from rtaplatform.bench.stack import PROJECT_ID, BenchStack, running_stack, say
from rtaplatform.bench.views import fill, writing

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
        with writing(stack, products, views_per_second=views_per_second, seed=seed):
            _ask(report, stack, seconds)


def fill_catalog(postgres: str, products: int) -> None:
    """Products of 40 categories and 300 brands."""
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
        report.row(question=name, first_ms=round(1000 * asker.timed(question), 1))
    taken: dict[str, list[float]] = {name: [] for name in QUESTIONS}
    ends, cpu = time.monotonic() + seconds, cpu_seconds(stack.pids["api"])
    while time.monotonic() < ends:
        for name, question in QUESTIONS.items():
            taken[name].append(asker.timed(question))
            time.sleep(0.005)  # so that neither client nor API is always busy, as nobody is
    for name, found in taken.items():
        report.row(question=name, asked=len(found), **milliseconds(found))
    # On a machine that others use as well, this tells more than the clock.
    report.row(api_cpu_ms_each=round((cpu_seconds(stack.pids["api"]) - cpu) * 1000 / sum(map(len, taken.values())), 2))
