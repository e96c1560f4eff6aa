"""Where the API listens: names, brackets, and what is refused with a remedy."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from rtaplatform.cli.listener import CONNECTIONS_MIN, DEAD_CLIENT_MS, OWN_FILES, count_connections, open_listener
from rtaplatform.core.errors import SetupError


@pytest.mark.parametrize(
    ("host", "bound"),
    [("127.0.0.1", "127.0.0.1"), ("localhost", "127.0.0.1"), ("[::1]", "::1"), ("::1", "::1"), ("*", "0.0.0.0")],  # noqa: S104
)
def test_a_host_is_an_address_or_a_name(host: str, bound: str) -> None:
    with open_listener(host, 0) as listener:
        assert listener.getsockname()[0] == bound
        assert listener.getsockname()[1] > 0


@pytest.mark.parametrize("host", ["", "no such host", "nowhere.invalid", "203.0.113.1", "http://localhost", "a" * 300])
def test_a_host_that_is_none_of_this_machine_is_wrong_usage(host: str) -> None:
    with pytest.raises(SetupError) as refused:
        open_listener(host, 0)
    assert refused.value.exit_code == 2
    assert "--host" in refused.value.remedy


def test_a_port_that_is_taken_is_refused() -> None:
    with open_listener("127.0.0.1", 0) as first, pytest.raises(SetupError, match="is taken"):
        open_listener("127.0.0.1", first.getsockname()[1])


def test_accepted_connections_inherit_the_limits() -> None:
    with open_listener("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == DEAD_CLIENT_MS
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1


@pytest.mark.parametrize(
    ("files", "connections"), [(100_000, 4_096), (4_480, 4_096), (1_024, 672), (256, 96), (OWN_FILES, 0)]
)
def test_connections_fit_into_the_files_that_may_be_open(files: int, connections: int) -> None:
    assert count_connections(files, 4_096) == connections
    assert CONNECTIONS_MIN < 96


@pytest.mark.parametrize(
    ("soft", "hard", "output"), [(200, 4_096, "3632"), (4_096, 4_096, "3632"), (256, 256, "96"), (150, 150, "refused")]
)
def test_the_api_raises_the_limit_of_open_files_for_its_connections(soft: int, hard: int, output: str) -> None:
    script = (
        "import resource\n"
        "from rtaplatform.cli.listener import reserve_files\n"
        "from rtaplatform.core.errors import SetupError\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))\n"
        "try: print(reserve_files(3_632))\n"
        "except SetupError as error: print('refused' if 'Only 150 files' in str(error) else error)"
    )
    environment = {**os.environ, "PYTHONPATH": "src"}
    process = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment
    )
    assert process.stdout.strip() == output
