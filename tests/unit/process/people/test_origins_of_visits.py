"""Orders by the campaign of their visit, sessions by their first and last page: first touch, whatever comes late."""

from __future__ import annotations

import pytest

from rtaplatform.core.rollups import make_field
from tests.unit.process.people.people_site import ORDER, PeopleSite, Seen, make_oracle

NOON = 1_795_003_200_000
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
FIRST, LAST = Seen(NOON, "u", campaign="may"), Seen(NOON + 10 * MINUTE, "u", campaign="june")
BOUGHT = Seen(NOON + 20 * MINUTE, "u", name=ORDER, revenue=7)


def read_revenue(site: PeopleSite) -> dict[str, int]:
    """Revenue by campaign, of the day."""
    revenues: dict[str, int] = {}
    for (rollup, kind, _), fields in site.read_cells().items():
        for name, n in fields.items() if (rollup, kind) == ("origins", "day") else ():
            if name.startswith(make_field("revenue", "")):
                revenues[name.split(chr(31))[1]] = n
    return revenues


def make_site(*events: Seen) -> PeopleSite:
    """Each event in a batch of its own; totals are the oracle's."""
    site = PeopleSite().take_all([[event] for event in events])
    assert site.read_cells() == make_oracle(events).count_cells()
    return site


def test_an_order_belongs_to_the_first_touch_of_its_session() -> None:
    assert read_revenue(make_site(FIRST, LAST, BOUGHT)) == {"may": 7}


def test_a_late_first_event_moves_the_order() -> None:
    assert read_revenue(make_site(LAST, BOUGHT)) == {"june": 7}
    assert read_revenue(make_site(LAST, BOUGHT, FIRST)) == {"may": 7}


def test_a_late_event_that_joins_two_sessions_moves_the_order_of_the_second() -> None:
    later = [event._replace(time_ms=event.time_ms + 40 * MINUTE) for event in (LAST, BOUGHT)]
    assert read_revenue(make_site(FIRST, *later)) == {"june": 7}
    assert read_revenue(make_site(FIRST, *later, Seen(NOON + 25 * MINUTE, "u"))) == {"may": 7}


@pytest.mark.parametrize(("minutes", "campaign"), [(0, "may"), (29, "may"), (30, "may"), (31, ""), (-1, "")])
def test_the_order_of_a_server_belongs_to_the_visit_of_the_last_half_hour(minutes: int, campaign: str) -> None:
    reported = BOUGHT._replace(time_ms=NOON + minutes * MINUTE, source="server")
    assert read_revenue(make_site(FIRST, reported)) == {campaign: 7}
    assert read_revenue(make_site(reported, FIRST)) == {campaign: 7}


def test_a_link_moves_the_order_to_the_campaign_of_the_other_device() -> None:
    other = Seen(NOON - 5 * MINUTE, "", "a", campaign="mail")
    assert read_revenue(make_site(FIRST, BOUGHT, other)) == {"may": 7}
    assert read_revenue(make_site(FIRST, BOUGHT, other, Seen(NOON + HOUR, "u", "a"))) == {"mail": 7}


def test_an_order_of_long_ago_counts_without_an_origin() -> None:
    site = PeopleSite().take_all([[Seen(NOON + 2 * DAY, "u", campaign="may")], [BOUGHT]])
    assert read_revenue(site) == {"": 7}
    assert site.notes["late_state"] == 1


def test_orders_of_a_batch_that_spans_days_keep_their_origins() -> None:
    """As history that is imported: nothing is late against what was read before it."""
    days = [event._replace(time_ms=event.time_ms + day * DAY) for day in range(4) for event in (FIRST, BOUGHT)]
    site = PeopleSite().take_all([days])
    assert site.read_cells() == make_oracle(days).count_cells()
    assert read_revenue(site) == {"may": 7}  # of each of the four days


def test_an_order_that_is_forgotten_stays_counted() -> None:
    later = [event._replace(time_ms=event.time_ms + 2 * DAY) for event in (FIRST, LAST)]
    assert read_revenue(make_site(FIRST, BOUGHT, *later)) == {"may": 7}


def read_pages(site: PeopleSite, measure: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for (rollup, kind, _), fields in site.read_cells().items():
        for name, n in fields.items() if (rollup, kind) == ("session_pages", "day") else ():
            if name.startswith(make_field(measure, "")):
                counts[name.split(chr(31))[1]] = n
    return counts


def test_the_exit_moves_as_the_session_goes_on() -> None:
    visits = [Seen(NOON + n * MINUTE, "u", page=page) for n, page in enumerate(("/a", "/b", "/b", "/c"))]
    assert read_pages(make_site(*visits[:3]), "exits") == {"/b": 1}
    assert read_pages(make_site(*visits), "exits") == {"/c": 1}


def test_a_late_event_before_the_entry_is_the_only_entry() -> None:
    visits = [Seen(NOON + n * MINUTE, "u", page=page) for n, page in enumerate(("/a", "/b", "/c"))]
    site = make_site(visits[1], visits[2], visits[0])
    assert (read_pages(site, "entries"), read_pages(site, "exits")) == ({"/a": 1}, {"/c": 1})
