"""`rta rebuild` during a chaos run, and the operator who starts it again, as docs/how-to/rebuild-the-totals.md says.

It runs behind the proxies, as workers do. Between two faults the operator looks at it: where it was killed, or has
ended because a server was away, the same command is given again. Once all shards have switched, nothing is done until
the next is wanted; where the store has lost the switch with its last writes, the rebuild is gone on with. To be called
in the main thread, between faults.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import redis

from rtaplatform.core.ledger import read_next_offset
from rtaplatform.local.supervisor.child_process import ChildProcess, Command
from rtaplatform.store import redis_keys
from rtaplatform.store.redis.redis_generations import RedisGenerations
from rtaplatform.store.redis.redis_store import RedisStore
from tests.chaos.history import Fault, History, Span
from tests.integration.chaos import Stack, wait_until
from tests.integration.servers import TESTER

AGAIN = 3  # the exit code of what is to be tried again: a server is missing, or has no room
BUILT_SECONDS_MAX, SWITCHED_SECONDS_MAX = 90, 3_600
KEPT_GENERATIONS = 1  # of those that were read before; others go, as if a day had passed


class Built(NamedTuple):
    """What is being built in a shard: its generation, and how many records are in it."""

    generation: str
    records: int


@dataclass
class Rebuilds:
    """All rebuilds of a run, one after the other. `wrong`: what none of them may do."""

    stack: Stack
    history: History
    process: ChildProcess
    command: Callable[[], Command]
    wrong: list[str] = field(default_factory=list)
    _since: float = 0.0  # when the one that runs was started; where none does, the last one
    _before: dict[int, str] = field(default_factory=dict)  # shard → what was read when the first was begun
    _names: dict[int, str] = field(default_factory=dict)  # shard → what the last has switched to
    _is_wanted: bool = False  # one was begun, and has not yet switched all shards
    _built_at_start: dict[int, Built] | None = (
        None  # what there was when the one that runs was started; None: not looked yet
    )

    # what the operator does ------------------------------------------------------------------------------------

    def ensure(self) -> None:
        """One runs, and has counted something; where the last has come to its end another is begun."""
        wait_until(self._is_building, "a rebuild that has counted something", BUILT_SECONDS_MAX)

    def _is_building(self) -> bool:
        self.look()
        if not self._is_wanted:
            self._let_go()
            self._before = self._before or self._read()
            self._is_wanted = True
            self._start()
        built = self._read_built()
        self._built_at_start = built if self._built_at_start is None else self._built_at_start
        return built not in ({}, self._built_at_start) and self.process.is_alive()

    def look(self) -> bool:
        """Start it again where it has ended before its end. Raises while the store is away."""
        if not self._is_wanted and self._names and self._read() != self._names:
            self._expect_rewind("a switch was taken back")
            self._is_wanted = True
            self._start()
        if self._is_wanted and not self.process.is_alive():
            self._judge_end()
        return True

    def finish(self) -> None:
        """Nothing more is done: it comes to its end."""

        def is_at_its_end() -> bool:
            self.look()
            return bool(self.wrong) or not self._is_wanted

        wait_until(is_at_its_end, "the switch of all shards", SWITCHED_SECONDS_MAX)

    def kill(self) -> dict[int, Built]:
        """kill -9 of one that has counted something. Returns what it leaves behind, by shard."""
        while True:
            self.ensure()
            self.process.kill()
            if self.process.read_exit_status() == -signal.SIGKILL:
                self._note("killed")
                remains = self._read_built()
                if remains:
                    return remains
                self._start()  # it had switched, and not yet ended

    def go_on(self, remains: dict[int, Built]) -> None:
        """The same command again: it goes on with what was left, for nothing has happened to that."""
        self._start()
        wait_until(lambda: self._has_gone_on(remains), "a rebuild that was gone on with", BUILT_SECONDS_MAX)
        now, read = self._read_built(), self._read()
        for shard, built in remains.items():
            names = {now[shard].generation if shard in now else "", read[shard]}
            if built.generation not in names:
                self.wrong.append(f"shard {shard}: {built.generation} was left, and {names} is there")

    def _has_gone_on(self, remains: dict[int, Built]) -> bool:
        self.look()
        now, read = self._read_built(), self._read()
        return all(
            read[shard] == built.generation or (shard in now and now[shard] != built)
            for shard, built in remains.items()
        )

    def _let_go(self) -> None:
        """A day passes for what was read before: running workers delete it."""
        with (
            self._opening_generations() as generations,
            redis.Redis.from_url(self.stack.valkey.server.make_url(TESTER)) as tester,
        ):
            for shard in range(self.stack.shards):
                retired = generations.read_retired(shard)
                for name in sorted(retired, key=retired.__getitem__)[:-KEPT_GENERATIONS]:
                    tester.hset(redis_keys.make_retired_key(shard), name, 0)

    # how it went -----------------------------------------------------------------------------------------------

    def find_differences(self) -> list[str]:
        """What is wrong at the end, a line each: each shard must be read from what the last rebuild has built."""
        if not self._before:
            return []
        read = self._read()
        not_switched = [
            f"shard {shard} was not switched" for shard, name in self._before.items() if read[shard] == name
        ]
        return self.wrong + not_switched + ([] if read == self._names else [f"{read} is read, not {self._names}"])

    def _start(self) -> None:
        self._since, self._built_at_start = time.monotonic(), None
        self.process.start(self.command())

    def _judge_end(self) -> None:
        status, read = self.process.read_exit_status(), self._read()
        if status == 0:
            report = json.loads(self.process.read_last_lines(1))
            self._names = {int(shard): name for shard, name in report["generations"].items()}
            self._is_wanted = False
            self._note("switched, gone on with" if report["resumed"] else "switched")
            if read != self._names:
                self._expect_rewind("it said that it had switched, and had not")
        else:
            self._note(f"ended with {status}")
            if status != AGAIN:
                self.wrong.append(f"a rebuild has ended with {status}:\n{self.process.read_last_lines(20)}")
            self._start()

    def _expect_rewind(self, what: str) -> None:
        """A switch may be lost, as any write, where the store has gone back since the rebuild was started."""
        if not any(span.until >= self._since for span in self.history.rewinds):
            self.wrong.append(f"{time.monotonic():.2f}: {what}, and nothing had gone back")

    def _note(self, what: str) -> None:
        self.history.rebuilds.append(Fault(f"(rebuild: {what})", Span(self._since, time.monotonic())))

    def _read_built(self) -> dict[int, Built]:
        """By shard, what is being built and has counted something."""
        with self._opening_generations() as generations:
            states = {shard: generations.read_building(shard) for shard in range(self.stack.shards)}
        states_built = {
            shard: Built(state.generation, sum(map(read_next_offset, state.ledger.values())))
            for shard, state in states.items()
            if state
        }
        return {shard: built for shard, built in states_built.items() if built.records}

    def _read(self) -> dict[int, str]:
        with self._opening_generations() as generations:
            states = {shard: generations.read_state(shard) for shard in range(self.stack.shards)}
        return {shard: state.generation if state else "" for shard, state in states.items()}

    @contextmanager
    def _opening_generations(self) -> Iterator[RedisGenerations]:
        store = RedisStore(self.stack.store_settings)
        try:
            yield RedisGenerations(store, self.stack.shards)
        finally:
            store.close()
