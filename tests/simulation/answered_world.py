"""Answers about people in the simulated world: what is kept between questions never shows, and numbers are a recount.

The same engine is asked again and again while workers crash, repeat and conflict, and while the store goes back.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime
from typing import Any

from rtaplatform.analytics.answer.engine import Engine
from rtaplatform.analytics.ask.parse import parse_parameters
from rtaplatform.analytics.cache.window_caches import WindowCaches
from rtaplatform.analytics.freshness.log_ends import LogInstant
from rtaplatform.analytics.freshness.tracker import FreshnessTracker
from rtaplatform.core.errors import PlatformError
from rtaplatform.core.query import Answer, Query
from rtaplatform.simulate.oracle.oracle import ConsumedRecord
from rtaplatform.simulate.oracle.oracle_people import OraclePeople
from tests.simulation.home import PROJECTS, RULES
from tests.simulation.people_world import LAST_MS, PeopleWitness, PeopleWorld
from tests.simulation.world import Running
from tests.unit.analytics.people_shop import (
    OF_DAYS,
    OF_SESSIONS,
    Span,
    count_new,
    is_as_told,
    list_sessions,
    select_sessions,
)

NOW_MS = LAST_MS + 90_000
BACK = "-3d"
QUERIES = [
    parse_parameters(metric, [("from", BACK), *more])
    for metric in OF_SESSIONS
    for more in ([], [("breakdown", "source"), ("country", "DE")], [("interval", "day")])
] + [parse_parameters(metric, [("from", BACK)]) for metric in (*OF_DAYS, "new_visitors")]


class AnsweredWorld(PeopleWorld):
    """`windows` are what the engine keeps; a plant may stand in its place."""

    def __init__(self, seed: int, *, windows: type[WindowCaches] = WindowCaches, **parts: Any) -> None:
        super().__init__(seed, **parts)
        self.engine = self._make_engine(windows())
        self.fresh = self._make_engine(WindowCaches(lambda _plan: False))
        self.answered = 0

    def _make_engine(self, windows: WindowCaches) -> Engine:
        clock = LogInstant(NOW_MS, NOW_MS / 1_000)
        return Engine(self.store, FreshnessTracker(), lambda: clock, windows=windows)

    def act_after_a_turn(self, running: Running) -> Running:
        if self.rng.random() < 0.5:
            self._ask(PROJECTS[0].slug, [self.rng.choice(QUERIES), self.rng.choice(QUERIES)])
        return super().act_after_a_turn(running)

    def _ask(self, project: str, queries: list[Query]) -> None:
        """A shard that is lost or torn says so, and is not what this is about."""
        with suppress(PlatformError):
            cached_answers, fresh = (
                asyncio.run(engine.answer(project, queries)) for engine in (self.engine, self.fresh)
            )
            self.answered += 1
            self.wrong += [
                f"kept: {cached_answer.results} instead of {other.results} of {cached_answer.metric}"
                for cached_answer, other in zip(cached_answers, fresh, strict=True)
                if cached_answer.results != other.results
            ]

    def check(self, *, distinct_tolerance: float = 0.0) -> list[str]:
        witness = PeopleWitness(RULES)
        for partition, records in self.broker.records.items():
            for r in records:
                witness.add(ConsumedRecord(*partition, r.offset, r.timestamp_ms, r.key, r.value))
        return [
            line for slug, people in witness.find_people().items() for line in self._find_wrong_answers(slug, people)
        ]

    def _find_wrong_answers(self, slug: str, people: OraclePeople) -> list[str]:
        answers = asyncio.run(self.engine.answer(slug, [q for q in QUERIES if q.interval == "none"][:20]))
        answers += asyncio.run(self.engine.answer(slug, QUERIES[-5:]))
        sessions, lines = list_sessions(people), []
        for answer in answers:
            span = _find_span(answer)
            for row in answer.results:
                filters = {**row.dimensions, "country": "DE"} if row.dimensions else {}
                true: float | None
                if answer.metric in OF_SESSIONS:
                    true = OF_SESSIONS[answer.metric](select_sessions(sessions, span, filters))
                elif answer.metric in OF_DAYS:
                    true = OF_DAYS[answer.metric](people, span.last)
                else:
                    days = {min(people.find_days(person)) for person in people.persons}
                    first = datetime.fromisoformat(answer.start).date()
                    true = count_new(people, [day for day in days if first <= day <= span.last])
                if not is_as_told(answer.metric, row.total, true):
                    lines.append(f"{slug} {answer.metric} {row.dimensions}: {row.total} instead of {true}")
        return lines


def _find_span(answer: Answer) -> Span:
    start, end = (datetime.fromisoformat(text) for text in (answer.start, answer.end))
    last = datetime.fromtimestamp(end.timestamp() - 1, end.tzinfo).date()
    return Span(round(start.timestamp() * 1_000), round(end.timestamp() * 1_000), last)
