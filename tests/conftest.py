"""Options of all tests: `--seed N` runs the simulation of that seed, `--seeds N` so many of them."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=None, help="run the simulation of this seed only")
    parser.addoption("--seeds", type=int, default=100, help="how many seeds to run")
