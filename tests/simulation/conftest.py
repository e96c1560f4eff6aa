"""Seeds of the simulations; their options are in tests/conftest.py, where pytest finds them from anywhere."""

from __future__ import annotations

import pytest


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        one = metafunc.config.getoption("--seed")
        metafunc.parametrize("seed", [one] if one is not None else range(metafunc.config.getoption("--seeds")))
