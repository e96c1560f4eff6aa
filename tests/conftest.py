"""Options of all tests, and the embedded servers that they share; see integration/servers.py.

`--seed N` runs the simulation or the chaos of that seed, `--seeds N` so many simulations; `--events` and `--faults` say
how long a chaos run is. A server that no test asks for is not started.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path

import pytest
import structlog
import uvloop
from hypothesis import settings

from rtaplatform.local.servers.kafka import Kafka
from rtaplatform.local.servers.postgres import Postgres
from rtaplatform.local.servers.valkey import Valkey
from tests.examples import WHOLE, register_profiles
from tests.integration.servers import Running, Servers, start_kafka, start_postgres, start_valkey

PRINTED_LINES_SHOWN = 30

# `--hypothesis-profile` takes the other one.
register_profiles()
settings.load_profile(WHOLE)

# With all local variables, as structlog shows them by itself, one logged exception takes a second or more.
structlog.configure(
    [
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)


@pytest.fixture(scope="session")
def servers_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data of this session's servers; with a blank in its name, since users' folders have them."""
    return tmp_path_factory.mktemp("embedded servers")


@pytest.fixture(scope="session")
def kafka_server(servers_folder: Path) -> Iterator[Running[Kafka]]:
    running = start_kafka(servers_folder)
    yield running
    running.stop()


@pytest.fixture(scope="session")
def valkey_server(servers_folder: Path) -> Iterator[Running[Valkey]]:
    running = start_valkey(servers_folder)
    yield running
    running.stop()


@pytest.fixture(scope="session")
def postgres_server(servers_folder: Path) -> Iterator[Running[Postgres]]:
    running = start_postgres(servers_folder)
    yield running
    running.stop()


@pytest.fixture(scope="session")
def servers(
    kafka_server: Running[Kafka], valkey_server: Running[Valkey], postgres_server: Running[Postgres]
) -> Servers:
    """Kafka, Valkey and PostgreSQL, running."""
    return Servers(kafka_server, valkey_server, postgres_server)


def pytest_collection_finish() -> None:
    """Thousands of tests live until the end: the garbage collector need not look at them again and again."""
    gc.collect()
    gc.freeze()


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Asynchronous tests run on the event loop of the API: it reports closed connections in a way of its own."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the end of what a failed test has printed: thousands of lines of logs would hide why others failed."""
    report = yield
    report.sections = [(title, shorten_output(text)) for title, text in report.sections]
    return report


def shorten_output(text: str) -> str:
    """The last lines, below how many were left out."""
    lines = text.splitlines(keepends=True)
    left_out = len(lines) - PRINTED_LINES_SHOWN
    return text if left_out <= 0 else "".join([f"[{left_out} lines are not shown]\n", *lines[-PRINTED_LINES_SHOWN:]])


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=None, help="run the simulation of this seed only")
    parser.addoption("--seeds", type=int, default=100, help="how many seeds to run")
    parser.addoption("--events", type=int, default=300_000, help="how many events there are in a chaos run")
    parser.addoption("--calm", action="store_true", help="wait in a chaos run until all is in, after each fault")
    parser.addoption("--slow-clients", type=int, default=240, help="how many slow clients an attack has")
    parser.addoption("--faults", type=int, default=40, help="how many faults there are in a chaos run")
