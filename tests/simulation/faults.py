"""What goes wrong between a process and its servers: calls without an answer, and death at any of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

from rtaplatform.core.errors import Unavailable
from rtaplatform.store.port import Conflicted, Delta, Outcome

if TYPE_CHECKING:
    from tests.simulation.world import World

T = TypeVar("T")


class Crash(BaseException):
    """The worker dies here: whatever it knew is gone."""


class Faults:
    """Between a worker and its servers: now and then a call is lost before or after its effect, or the worker dies."""

    def __init__(self, target: Any, rng: Random, rate: float) -> None:
        self._target, self._rng, self.rate = target, rng, rate

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        return (
            self._make_shaky(value) if callable(value) and name not in ("read_assignment", "seek", "commit") else value
        )

    def _make_shaky(self, call: Callable[..., T]) -> Callable[..., T]:
        def attempt(*args: Any, **kwargs: Any) -> T:
            fault = self._rng.random()
            if fault < self.rate:
                raise self._rng.choice([Crash(), Unavailable("redis", "lost before")])
            result = call(*args, **kwargs)
            if fault > 1 - self.rate:
                raise self._rng.choice([Crash(), Unavailable("redis", "lost after")])
            return result

        return attempt


class Writes(Faults):
    """Also: others act between what was read and what is written; and a write happens after its sender gave it up."""

    def __init__(self, target: Any, rng: Random, rate: float, world: World) -> None:
        super().__init__(target, rng, rate)
        self._world = world

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        if self._rng.random() < 5 * self.rate:
            self._world.act_meanwhile()
        if self._rng.random() < self.rate * self._world.lateness:
            self._world.late.append(partial(self._target.apply, shard, generation, delta))
            raise Unavailable("redis", "no answer yet")
        outcome = self._make_shaky(self._apply)(shard, generation, delta)
        self._world.outcomes.update(_list_names(outcome))
        return outcome

    def _apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        outcome: Outcome = self._target.apply(shard, generation, delta)
        return outcome


def _list_names(outcome: Outcome) -> list[str]:
    """What a worker was told, and for a conflict of what it was."""
    if not isinstance(outcome, Conflicted):
        return [type(outcome).__name__]
    parts = ("blocks", "loose", "orders", "persons", "projects")
    return [f"conflict of {part}" for part in parts if getattr(outcome, part)]


def start_call(call: Callable[[], Outcome], *, at_once: bool = True) -> Callable[[], Outcome]:
    """A call beside the worker, on one thread: done at once, or not before somebody waits for it; once either way."""

    @cache
    def ended() -> Outcome | Unavailable:
        try:
            return call()
        except Unavailable as error:
            return error

    def outcome() -> Outcome:
        result = ended()
        if isinstance(result, Unavailable):
            raise result
        return result

    if at_once:
        ended()
    return outcome
