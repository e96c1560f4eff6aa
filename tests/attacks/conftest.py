"""The stack that all attacks share. Each attack leaves it as it was, or takes `stack.another_api`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.attacks.stack import Stack, start_stack
from tests.integration.servers import Servers


@pytest.fixture(scope="package")
def stack(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    running = start_stack(servers, tmp_path_factory.mktemp("attacks"))
    yield running
    assert running.stop() == 0
