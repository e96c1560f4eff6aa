"""Calls to the store beside the worker's loop.   Stage 3 of 6: stream → [process] → store."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from rtaplatform.store.port import Outcome

# Begins a call, and gives what waits for its end.
Begin = Callable[[Callable[[], Outcome]], Callable[[], Outcome]]


def in_a_thread() -> Begin:
    """One call after the other, beside the caller."""
    pool = ThreadPoolExecutor(1, thread_name_prefix="apply")
    return lambda call: pool.submit(call).result
