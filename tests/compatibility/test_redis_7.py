"""The store's contract on Redis 7.0: the suite of tests/contract, whole."""

from __future__ import annotations

from tests.contract.test_generations import *  # noqa: F403
from tests.contract.test_store import *  # noqa: F403
from tests.contract.test_store_loose_ids import *  # noqa: F403
