"""The contract of the caps on Redis 7.0: the suite of tests/contract, whole."""

from __future__ import annotations

from tests.contract.test_caps import *  # noqa: F403
