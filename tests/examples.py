"""How many examples a property is tried with: all of them, or a tenth with the profile of `./rta check --quick`."""

from __future__ import annotations

from hypothesis import settings

WHOLE, QUICK = "whole", "quick"
_PERCENT = 100


def register_profiles() -> None:
    """Register both. How long an example takes is for benchmarks to say: other programs use the machine as well."""
    settings.register_profile(WHOLE, deadline=None, max_examples=_PERCENT)
    settings.register_profile(QUICK, deadline=None, max_examples=_PERCENT // 10)


def count_examples(most: int) -> int:
    """Return how many of `most` examples the profile in use wants; at module level, before a test runs."""
    return most * settings().max_examples // _PERCENT
