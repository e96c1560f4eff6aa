"""Seeds of the simulations; their options are in tests/conftest.py, where pytest finds them from anywhere."""

from __future__ import annotations

import pytest

SERVERS = 8  # worlds on the real Valkey
POISONED = 20  # worlds in which workers end all the time


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    one = metafunc.config.getoption("--seed")
    seeds = {"seed": metafunc.config.getoption("--seeds"), "seed_of_a_server": SERVERS, "seed_of_poison": POISONED}
    for name, count in seeds.items():
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, [one] if one is not None else range(count))
