"""What sessions and orders add to the totals by origin, and sessions by their first and last page.   Pure.

Stage 3 of 6. `origins` has the first touch: the campaign, referrer and channel of a session's first event. An order
counts in the bucket of its own time, a session in that of its start. Both are kept by hour and day only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.rollups import ACQUISITION, ORIGINS, SEPARATOR, SESSION_PAGES, SESSIONS, make_field
from rtaplatform.core.time.buckets import MINUTE_MS, BucketKind, find_bucket_starts
from rtaplatform.process.people.orders import OrderMade, find_origin
from rtaplatform.process.people.person_value import Person
from rtaplatform.process.people.sessions import Session
from rtaplatform.store.port import CellsKey

NO_ORIGIN = SEPARATOR * len(ACQUISITION.dimensions)
ORDER_MEASURES = ORIGINS.measures[len(SESSIONS.measures) :]
Cells = dict[CellsKey, dict[str, int]]


class VisitTotals:
    """The changes of one project's totals by origin and by page."""

    def __init__(self, project: ProjectSettings) -> None:
        self._project = project
        self._orders: defaultdict[tuple[int, str], list[int]] = defaultdict(lambda: [0] * len(ORDER_MEASURES))
        self._pages: defaultdict[tuple[int, str, str], list[int]] = defaultdict(lambda: [0, 0])

    def change_orders(self, before: Sequence[Person], after: Person) -> None:
        """Each order moves to the origin of the session in which it falls now."""
        for person, n in (*((person, -1) for person in before), (after, 1)):
            for order in person.orders:
                self.count_order(order, find_origin(person.sessions, order.time_ms), n)

    def count_order(self, order: OrderMade, origin: str, n: int) -> None:
        sums = self._orders[(order.time_ms // MINUTE_MS, origin)]
        sums[0] += n
        sums[1] += n * order.units
        sums[2] += n * order.revenue
        sums[3] += n * order.other_currencies

    def count_pages(self, session: Session, n: int) -> None:
        minute = session.start_ms // MINUTE_MS
        self._pages[(minute, session.entry_page, session.source)][0] += n
        self._pages[(minute, session.exit_page, session.source)][1] += n

    def move_exit(self, old: Session, new: Session) -> None:
        """A session goes on: its last page is another one."""
        minute = new.start_ms // MINUTE_MS
        self._pages[(minute, old.exit_page, new.source)][1] -= 1
        self._pages[(minute, new.exit_page, new.source)][1] += 1

    def add_to(self, cells: Cells) -> None:
        for (minute, origin), orders in self._orders.items():
            sums = [(measure, n) for measure, n in zip(ORDER_MEASURES, orders, strict=True) if n]
            self.spread(cells, ORIGINS.name, minute, sums, origin or NO_ORIGIN)
        for (minute, page, source), pages in self._pages.items():
            sums = [(measure, n) for measure, n in zip(SESSION_PAGES.measures, pages, strict=True) if n]
            self.spread(cells, SESSION_PAGES.name, minute, sums, make_field("", page, source))

    def spread(self, cells: Cells, rollup: str, minute: int, sums: Sequence[tuple[str, int]], suffix: str) -> None:
        """Add to the totals and to one value, of hour and day."""
        if not sums:
            return
        starts = find_bucket_starts(minute, self._project.zone)
        for kind, start in ((BucketKind.HOUR, starts.hour), (BucketKind.DAY, starts.day)):
            fields = cells[CellsKey(self._project.slug, rollup, kind, start)]
            for measure, n in sums:
                for name in (measure, measure + suffix):
                    fields[name] = fields.get(name, 0) + n
