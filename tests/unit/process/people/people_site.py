"""People in memory: batches of events → values and totals, beside what the oracle makes of the same events."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.rollups import CHANGES
from rtaplatform.core.time.timestamps import format_iso_utc
from rtaplatform.process.decode.commerce import NOTHING, EventCommerce
from rtaplatform.process.decode.fast import read_event
from rtaplatform.process.fold.decode_run import DecodedRecord
from rtaplatform.process.fold.dedup import NO_LOOKUP
from rtaplatform.process.fold.person_state import TOKEN_BYTES, PersonCache, PersonKey, PersonNames, PersonStates
from rtaplatform.process.people.people_fold import PeopleFold
from rtaplatform.process.people.person_value import PersonValue, decode_value
from rtaplatform.simulate.oracle.oracle_people import OraclePeople, OraclePersonRules, OracleVisit, make_ids
from rtaplatform.simulate.oracle.origins.oracle_sessions import OracleOrder
from rtaplatform.store.port import Delta

ORDER = "Order Completed"
KINDS = {"m": "minute", "h": "hour", "d": "day"}
Cells = dict[tuple[str, str, int], dict[str, int]]


class Seen(NamedTuple):
    """An event."""

    time_ms: int
    user: str = ""
    anonymous: str = ""
    name: str = "Product Viewed"
    source: str = "web"
    country: str = "DE"
    device: str = "phone"
    campaign: str = ""
    page: str = ""
    revenue: int = 0  # of an order that counts


class PeopleSite:
    """A store of one project, and a worker that keeps no copies."""

    def __init__(self, zone: str = "UTC", week_start: str = "monday") -> None:
        self.project = ProjectSettings("demo", zone, week_start=week_start)
        self.values: dict[PersonKey, bytes] = {}
        self.online: dict[bytes, int] = {}
        self.notes: Counter[str] = Counter()
        self.totals: Counter[tuple[str, str, int, str]] = Counter()
        self._fold = PeopleFold()

    def take(self, *events: Seen) -> PersonNames:
        """One batch."""
        read = [_record(event) for event in events]
        cache = PersonCache(1_000)
        cache.load(self._fold.list_persons(read), self._fetch, self._fold.list_named_persons)
        people, delta = PersonStates(cache), Delta([])
        batch = self._fold.begin({"demo": self.project}, people)
        batch.add(read)
        orders = [
            (record_read.event, EventCommerce(orders=1, units=1, revenue=event.revenue))
            for record_read, event in zip(read, events, strict=True)
            if event.name == ORDER and record_read.event is not None
        ]
        names = batch.settle(orders)
        people.add_to(delta)
        for key, fields in delta.cells.items():
            for name, n in fields.items():
                self.totals[(key.rollup, KINDS[key.kind], key.start, name)] += n
        self.values |= {(write.project, write.person): write.token + write.value for write in delta.persons}
        for person, time_ms in names.online.get("demo", {}).items():
            self.online[person] = max(time_ms, self.online.get(person, 0))
        for person in names.left_online.get("demo", ()):
            self.online.pop(person, None)
        self.notes.update({what: n for (_, what), n in batch.notes.items()})
        return names

    def take_all(self, batches: Iterable[Sequence[Seen]]) -> PeopleSite:
        for batch in batches:
            self.take(*batch)
        return self

    def _fetch(self, keys: Sequence[PersonKey]) -> list[bytes]:
        return [self.values.get(key, b"") for key in keys]

    def read_cells(self) -> Cells:
        cells: Cells = {}
        for (rollup, kind, start, name), n in self.totals.items():
            if n and name != CHANGES:
                cells.setdefault((rollup, kind, start), {})[name] = n
        return cells

    def read_digest(self) -> tuple[dict[PersonKey, PersonValue | None], Cells, dict[bytes, int]]:
        """All that must not depend on order: values without their tokens, totals, who is online."""
        values = {key: decode_value(value[TOKEN_BYTES:]) for key, value in self.values.items()}
        return values, self.read_cells(), self.online

    def sum_days(self, rollup: str, name: str, kind: str = "day") -> int:
        return sum(fields.get(name, 0) for (r, k, _), fields in self.read_cells().items() if (r, k) == (rollup, kind))


def make_oracle(events: Iterable[Seen], zone: str = "UTC", week_start: str = "monday") -> OraclePeople:
    visits = [
        OracleVisit(
            e.time_ms, e.name, (e.source, e.country, e.device), *make_ids(e.user, e.anonymous),
            origin=(e.campaign, "", "", "", ""), page=e.page,
            order=OracleOrder(1, e.revenue, 0) if e.name == ORDER else None,
        )
        for e in events
    ]  # fmt: skip
    return OraclePeople(visits, OraclePersonRules(zone, week_start))


def _record(event: Seen) -> DecodedRecord:
    message = {
        "projectId": "demo", "type": "track", "event": event.name, "source": event.source,
        "userId": event.user or None, "anonymousId": event.anonymous or None,
        "timestamp": format_iso_utc(event.time_ms),
        "context": {
            "location": {"country": event.country}, "device": {"type": event.device}, "page": {"path": event.page},
            "campaign": {"source": event.campaign},
        },
    }  # fmt: skip
    decoded = read_event(json.dumps(message).encode(), topic_source="web", record_timestamp_ms=event.time_ms)
    return DecodedRecord(0, event.time_ms, decoded, NOTHING, None, NO_LOOKUP)
