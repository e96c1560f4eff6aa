"""Seeds of the simulations; their options are in tests/conftest.py, where pytest finds them from anywhere."""

from __future__ import annotations

import pytest

SERVERS = 8  # worlds on the real Valkey
PEOPLE = 40  # worlds of few people whom several workers meet
AWAY = 12  # worlds whose workers were away for days
POISONED = 20  # worlds in which workers end all the time


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    seed_option = metafunc.config.getoption("--seed")
    most = metafunc.config.getoption("--seeds")
    seeds = {
        "seed": most,
        "seed_of_a_server": SERVERS,
        "seed_of_people": min(PEOPLE, most),
        "seed_of_poison": POISONED,
        "seed_of_absence": min(AWAY, most),
    }
    for name, count in seeds.items():
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, [seed_option] if seed_option is not None else range(count))
