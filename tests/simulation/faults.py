"""What goes wrong between a process and its servers: calls without an answer, and death at any of them."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, TypeVar

from rtaplatform.core.errors import Unavailable

T = TypeVar("T")


class Crash(BaseException):
    """The worker dies here: whatever it knew is gone."""


class Faults:
    """Between a worker and its servers: now and then a call is lost before or after its effect, or the worker dies."""

    def __init__(self, target: Any, rng: Random, rate: float) -> None:
        self._target, self._rng, self.rate = target, rng, rate

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        return self._shaky(value) if callable(value) and name not in ("assignment", "seek", "commit") else value

    def _shaky(self, call: Callable[..., T]) -> Callable[..., T]:
        def attempt(*args: Any, **kwargs: Any) -> T:
            fault = self._rng.random()
            if fault < self.rate:
                raise self._rng.choice([Crash(), Unavailable("redis", "lost before")])
            result = call(*args, **kwargs)
            if fault > 1 - self.rate:
                raise self._rng.choice([Crash(), Unavailable("redis", "lost after")])
            return result

        return attempt
