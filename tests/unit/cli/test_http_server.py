"""The server leaves room for 2,500 live clients.

The pain: a server whose own limit on connections is lower than ours, so the next client waits without an answer; and
its own buffers of 400 kB a client, a gigabyte for all.
"""

from __future__ import annotations

from importlib.metadata import version

from rtaplatform.cli.http_server import make_server
from rtaplatform.cli.listener import open_listener
from rtaplatform.settings import ApiSettings

LIVE_CLIENTS = 2_500
BUFFER_BYTES_ALLOWED = 64 << 10  # per connection and direction


def _read_default(name: str) -> int:
    default = ApiSettings.model_fields[name].default
    assert isinstance(default, int)
    return default


def test_the_installed_server_has_the_limits_that_we_set() -> None:
    assert tuple(map(int, version("granian").split(".")[:2])) >= (2, 8)


def test_the_defaults_leave_room_for_the_live_clients_and_for_questions() -> None:
    assert LIVE_CLIENTS <= _read_default("live_connections_max") < _read_default("connections_max")


def test_the_server_takes_more_clients_than_may_be_live() -> None:
    with open_listener("127.0.0.1", 0) as listener:
        server = make_server(None, listener, _read_default("connections_max"))
    assert server.backpressure > _read_default("live_connections_max")


def test_a_client_has_small_buffers() -> None:
    with open_listener("127.0.0.1", 0) as listener:
        settings = make_server(None, listener, _read_default("connections_max")).http1_settings
    assert settings is not None
    assert settings.max_buffer_size <= BUFFER_BYTES_ALLOWED
