"""Limits within a key: of one address, of one address' browsers, of one person.

One mad device must not use up the limit of a whole site. The counts are those of this process alone: with n processes
a device may get n times as much. A count in Redis would cost every event a question, since most persons send few.
At most HOLDERS_MAX are counted in a minute; whoever comes after them is counted from the next minute on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from rtaplatform import telemetry
from rtaplatform.serve.limits.limit_rules import MINUTE_SECONDS, Allowance, RateRule, make_too_many
from rtaplatform.settings import LimitSettings

ADDRESS, BROWSER, PERSON = "collect_of_address", "collect_of_browser", "collect_of_person"
HOLDERS_MAX = 100_000


class HolderLimits:
    def __init__(self, settings: LimitSettings, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._rules = {
            ADDRESS: RateRule(settings.address_events_per_minute, "events of this key from this address"),
            BROWSER: RateRule(settings.browser_events_per_minute, "events of this key from browsers of this address"),
            PERSON: RateRule(settings.person_events_per_minute, "events of this person"),
        }
        self._window, self._counts = 0, dict[tuple[str, str, str], int]()

    def take(self, kind: str, key_id: str, holder: str, cost: int) -> None:
        """Take `cost`, at most the whole limit. Raises TooManyRequestsException if less than that remains."""
        rule = self._rules[kind]
        if rule.limit == 0:
            return
        cost = min(cost, rule.limit)
        counts = self._renew_counts()
        name = (kind, key_id, holder)
        count = counts.get(name, 0)
        if count + cost > rule.limit:
            telemetry.RATE_LIMITED.labels(kind).inc()
            reset = math.ceil((self._window + 1) * MINUTE_SECONDS - self._now())
            raise make_too_many(rule, Allowance(rule.limit, rule.limit - count, min(max(1, reset), MINUTE_SECONDS)))
        if count or len(counts) < HOLDERS_MAX:
            counts[name] = count + cost

    def count(self, kind: str, scope: str, holder: str, cost: int) -> int:
        """Add to what a holder has done in this minute, and return it."""
        counts = self._renew_counts()
        name = (kind, scope, holder)
        total = counts.get(name, 0) + cost
        if cost and (total > cost or len(counts) < HOLDERS_MAX):
            counts[name] = total
        return total

    def _renew_counts(self) -> dict[tuple[str, str, str], int]:
        window = int(self._now() // MINUTE_SECONDS)
        if window != self._window:
            self._window, self._counts = window, {}
        return self._counts
