"""How much does the API add to what PostgreSQL takes for a read or a patch, and how fast is a bulk import?

    ./rta up --simulate 0 --ready-file ready.json         # in one terminal
    PYTHONPATH=src .venv/bin/python benchmarks/catalog.py ready.json --seconds 10 --products 100000

The same rows are read and patched over HTTP and by psycopg alone, with the statements that the API sends (time limit,
the lock, the change), by the same number of clients, each with one connection. Prints requests per second, p50 and p99
of both, and their ratio; then the import of so many products: seconds, rows per second, and by how much the API's
memory grew.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import psutil
import psycopg

PREFIX = "bench-"
ROWS = 1_000
READ = "SELECT * FROM products WHERE project_id = %s AND id = %s"
CHANGE = "UPDATE products SET price = %s WHERE project_id = %s AND id = %s RETURNING *"
LIMIT = "SELECT set_config('statement_timeout', '3000', true)"


class Figures(NamedTuple):
    """What a load was answered with."""

    per_second: float
    p50_ms: float
    p99_ms: float


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("ready_file")
    arguments.add_argument("--seconds", type=float, default=10)
    arguments.add_argument("--clients", type=int, default=4)
    arguments.add_argument("--products", type=int, default=100_000)
    options = arguments.parse_args()
    with open(options.ready_file) as file:
        ready = json.load(file)
    post(ready, make_rows(ROWS))
    for name, over_http, alone in (("read", read_over_http, read_alone), ("patch", patch_over_http, patch_alone)):
        api_figures = load(partial(over_http, ready), options.clients, options.seconds)
        psycopg_figures = load(partial(alone, ready), options.clients, options.seconds)
        ratio = api_figures.per_second / psycopg_figures.per_second
        print(f"{name:<6} API {show(api_figures)}   psycopg {show(psycopg_figures)}   ratio {ratio:.2f}")
    measure_import(ready, options.products)
    forget(ready)


def load(make: Callable[[], Callable[[int], None]], clients: int, seconds: float) -> Figures:
    """Call what `make` gives, from so many threads, each with its own, for so long."""
    took: list[list[float]] = [[] for _ in range(clients)]
    ends = time.perf_counter() + seconds

    def run(latencies: list[float]) -> None:
        call, chance = make(), random.Random()
        while (started_at := time.perf_counter()) < ends:
            call(chance.randrange(ROWS))
            latencies.append(time.perf_counter() - started_at)

    threads = [threading.Thread(target=run, args=(latencies,)) for latencies in took]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    all_ms = sorted(seconds_taken * 1_000 for latencies in took for seconds_taken in latencies)
    return Figures(len(all_ms) / seconds, all_ms[len(all_ms) // 2], all_ms[int(len(all_ms) * 0.99)])


def show(figures: Figures) -> str:
    return f"{figures.per_second:7,.0f}/s p50 {figures.p50_ms:5.2f} ms p99 {figures.p99_ms:6.2f} ms"


def read_over_http(ready: dict[str, Any]) -> Callable[[int], None]:
    connection = connect(ready)

    def call(number: int) -> None:
        ask(connection, ready, "GET", f"/v1/products/{PREFIX}{number}", None)

    return call


def patch_over_http(ready: dict[str, Any]) -> Callable[[int], None]:
    connection = connect(ready)

    def call(number: int) -> None:
        ask(connection, ready, "PATCH", f"/v1/products/{PREFIX}{number}", {"price": random.randrange(10_000) / 100})

    return call


def read_alone(ready: dict[str, Any]) -> Callable[[int], None]:
    connection = psycopg.connect(ready["postgres"], prepare_threshold=None)

    def call(number: int) -> None:
        with connection.transaction():
            connection.execute(LIMIT)
            assert connection.execute(READ, ("prj_demo", f"{PREFIX}{number}")).fetchone()

    return call


def patch_alone(ready: dict[str, Any]) -> Callable[[int], None]:
    connection = psycopg.connect(ready["postgres"], prepare_threshold=None)

    def call(number: int) -> None:
        with connection.transaction():
            connection.execute(LIMIT)
            connection.execute(f"{READ} FOR UPDATE", ("prj_demo", f"{PREFIX}{number}"))
            price = random.randrange(10_000) / 100
            assert connection.execute(CHANGE, (price, "prj_demo", f"{PREFIX}{number}")).fetchone()

    return call


def measure_import(ready: dict[str, Any], count: int) -> None:
    for kind in ("new", "the same again", "changed"):
        before, watch = measure_memory_mb(ready), Watch(ready)
        started_at = time.perf_counter()
        report = post(ready, make_rows(count, brand="B" if kind == "changed" else "A"))
        took = time.perf_counter() - started_at
        counts = {name: report[name] for name in ("created", "updated", "unchanged", "failed")}
        print(
            f"import of {count:,} products, {kind}: {took:.1f} s, {count / took:,.0f}/s, "
            f"the API grew by {watch.end() - before:.0f} MB, {counts}"
        )


class Watch:
    """The most memory that the API has while this runs."""

    def __init__(self, ready: dict[str, Any]) -> None:
        self._most, self._is_done = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,))
        self._thread.start()

    def _run(self, ready: dict[str, Any]) -> None:
        while not self._is_done.wait(0.1):
            self._most = max(self._most, measure_memory_mb(ready))

    def end(self) -> float:
        self._is_done.set()
        self._thread.join()
        return self._most


def measure_memory_mb(ready: dict[str, Any]) -> float:
    port = urllib.parse.urlsplit(ready["url"]).port
    for process in psutil.process_iter(["pid"]):
        try:
            if any(
                connection.laddr.port == port and connection.status == "LISTEN"
                for connection in process.net_connections("tcp")
            ):
                return float(process.memory_info().rss) / 1e6
        except psutil.Error:
            continue
    raise SystemExit("The API's process was not found; run this on its machine.")


def make_rows(count: int, brand: str = "A") -> Iterator[bytes]:
    for start in range(0, count, 1_000):
        lines = (
            {"id": f"{PREFIX}{number}", "name": f"Product {number}", "category": f"C{number % 50}", "brand": brand,
             "price": number % 100, "currency": "EUR", "attributes": {"color": "red", "size": number % 50}}
            for number in range(start, min(count, start + 1_000))
        )  # fmt: skip
        yield "".join(json.dumps(line) + "\n" for line in lines).encode()


def post(ready: dict[str, Any], body: Iterator[bytes]) -> dict[str, Any]:
    connection = connect(ready)
    headers = {"Authorization": f"Bearer {ready['admin_key']}", "Content-Type": "application/x-ndjson"}
    connection.request("POST", "/v1/products/import", body, headers)
    answer = connection.getresponse()
    report: dict[str, Any] = json.loads(answer.read())
    assert answer.status == 200, report
    return report


def connect(ready: dict[str, Any]) -> http.client.HTTPConnection:
    place = urllib.parse.urlsplit(ready["url"])
    return http.client.HTTPConnection(place.hostname or "", place.port, timeout=300)


def ask(connection: http.client.HTTPConnection, ready: dict[str, Any], method: str, path: str, body: Any) -> None:
    headers = {"Authorization": f"Bearer {ready['admin_key']}", "Content-Type": "application/json"}
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    content = answer.read()
    assert answer.status == 200, content


def forget(ready: dict[str, Any]) -> None:
    """Take away what was brought in."""
    with psycopg.connect(ready["postgres"]) as connection:
        connection.execute("DELETE FROM products WHERE project_id = 'prj_demo' AND id LIKE %s", (f"{PREFIX}%",))


if __name__ == "__main__":
    main()
