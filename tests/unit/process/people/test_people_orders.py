"""People are a function of the set of events: every order of reading, in any batches, gives one digest."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import count_examples
from tests.unit.process.people.people_site import PeopleSite, Seen, make_oracle

DAY = 86_400_000
START = 1_795_000_000_000 // DAY * DAY
NAMES = ("Product Viewed", "Product Added", "Order Completed", "$page")
USERS = {"a1": "u1", "a2": "u1", "a3": "u2", "a4": ""}  # who uses which device, at some time or other
PLACEHOLDERS = ("", "undefined", "null", "00000000-0000-0000-0000-000000000000")
ZONES = ("UTC", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe", "America/New_York")

moments = st.one_of(
    st.integers(0, 20 * 60).map(lambda minute: minute * 60_000),
    st.sampled_from([0, 1_800_000, 1_800_001, 3_600_000, 12 * 3_600_000]),
)


@st.composite
def draw_visit(draw: st.DrawFn) -> Seen:
    """Of a known user on a device, of a user alone, of a device alone, of nobody that has a name."""
    anonymous = draw(st.sampled_from(sorted(USERS)))
    user = USERS[anonymous]
    persona = draw(st.sampled_from(["both", "user", "device", "device", "nobody"]))
    if persona == "nobody":
        ids = (draw(st.sampled_from(PLACEHOLDERS[1:])), draw(st.sampled_from(PLACEHOLDERS)))
    else:
        ids = (user if persona != "device" else "", anonymous if persona != "user" or not user else "")
    source, country = draw(st.sampled_from(["web", "web", "ios", "server"])), draw(st.sampled_from(["DE", "AT"]))
    campaign, page = draw(st.sampled_from(["", "may", "june"])), draw(st.sampled_from(["", "/a", "/b"]))
    visit = Seen(START + draw(moments), *ids, draw(st.sampled_from(NAMES)), source, country)
    return visit._replace(campaign=campaign, page=page, revenue=draw(st.integers(0, 3)))


@st.composite
def draw_interleaving(draw: st.DrawFn, events: Sequence[Seen]) -> list[list[Seen]]:
    """The events of three partitions, each in its own order, mixed in some way and cut into batches."""
    queues = [list(events[first::3]) for first in range(3)]
    mixed: list[Seen] = []
    while any(queues):
        mixed.append(draw(st.sampled_from([queue for queue in queues if queue])).pop(0))
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(mixed) - 1)), max_size=6)))
    return [batch for first, last in zip([0, *cuts], [*cuts, len(mixed)], strict=True) if (batch := mixed[first:last])]


@settings(max_examples=count_examples(150), deadline=None)
@given(st.data())
def test_all_interleavings_give_one_digest(data: st.DataObject) -> None:
    events = data.draw(st.lists(draw_visit(), min_size=1, max_size=10))
    zone, week_start = data.draw(st.sampled_from(ZONES)), data.draw(st.sampled_from(["monday", "sunday", "thursday"]))
    site = PeopleSite(zone, week_start).take_all(data.draw(draw_interleaving(events)))
    other = PeopleSite(zone, week_start).take_all(data.draw(draw_interleaving(events)))
    assert site.read_digest() == other.read_digest()
    assert site.read_cells() == make_oracle(events, zone, week_start).count_cells()
    assert not site.notes["identity_conflicts"]
    assert not site.notes["late_state"]


@settings(max_examples=count_examples(80), deadline=None)
@given(st.data())
def test_over_weeks_too_where_nothing_is_too_late(data: st.DataObject) -> None:
    """Each day has its own hours of activity; what is read out of order is of one day."""
    days = sorted(data.draw(st.lists(st.integers(0, 60), min_size=1, max_size=5, unique=True)))
    of_days = [
        [event._replace(time_ms=START + day * DAY + 5 * 3_600_000 + event.time_ms % 10_800_000) for event in events]
        for day in days
        for events in [data.draw(st.lists(draw_visit(), min_size=1, max_size=5))]
    ]
    zone, week_start = data.draw(st.sampled_from(ZONES)), data.draw(st.sampled_from(["monday", "saturday"]))
    sites = [PeopleSite(zone, week_start) for _ in range(2)]
    for site in sites:
        for events in of_days:
            site.take_all(data.draw(draw_interleaving(events)))
    assert sites[0].read_digest() == sites[1].read_digest()
    events = [event for events in of_days for event in events]
    assert sites[0].read_cells() == make_oracle(events, zone, week_start).count_cells()
