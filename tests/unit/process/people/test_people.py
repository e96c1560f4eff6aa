"""Identity, active days and sessions on edge cases that were made by hand, each against the oracle as well."""

from __future__ import annotations

import itertools
from datetime import datetime
from random import Random
from zoneinfo import ZoneInfo

import pytest

from rtaplatform.core.values.ids import hash_persons
from rtaplatform.process.people.person_value import ERASED_VALUE, Person, decode_value
from tests.unit.process.people.people_site import PeopleSite, Seen, make_oracle

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
NOON = 1_795_003_200_000 // DAY * DAY + 12 * HOUR


def make_site(*events: Seen, zone: str = "UTC", week_start: str = "monday") -> PeopleSite:
    """All of these one by one; the totals are the oracle's."""
    site = PeopleSite(zone, week_start).take_all([event] for event in events)
    assert site.read_cells() == make_oracle(events, zone, week_start).count_cells()
    return site


def find_local_ms(zone: str, *moment: int) -> int:
    return int(datetime(*moment, tzinfo=ZoneInfo(zone)).timestamp() * 1_000)  # type: ignore[arg-type, misc]


def make_key(text: str, *, is_user: bool) -> bytes:
    return hash_persons(text if is_user else None, () if is_user else (text,))[0]


@pytest.mark.parametrize("apart", [31, 32, 33, 63, 64, 65, 200])
def test_a_batch_may_span_more_days_than_a_value_keeps(apart: int) -> None:
    """History that is imported in order: half a year of a person may be read at once."""
    events = [Seen(NOON + n * apart * DAY, "u") for n in range(4)]
    whole, single = PeopleSite().take_all([events]), make_site(*events)
    assert whole.read_cells() == single.read_cells()
    assert whole.notes == single.notes
    assert whole.sum_days("actives", "dau") == 4


@pytest.mark.parametrize("seed", range(8))
def test_days_of_history_in_one_batch_are_what_they_are_one_by_one(seed: int) -> None:
    """A person has several groups of events in a batch: his own, one for each device. None makes others too late."""
    rng = Random(seed)
    events = [
        Seen(NOON + rng.randrange(9 * 24 * 60) * MINUTE, rng.choice(["u", "u", "v", ""]), rng.choice(["a", "b", "c"]))
        for _ in range(120)
    ]
    events = [event if event.anonymous != "c" else event._replace(user="") for event in events]
    own = [event._replace(user="u" if event.anonymous == "a" else event.user and "v") for event in events]
    partitions = [event for device in "abc" for event in own if event.anonymous == device]
    site = PeopleSite().take_all([partitions])
    assert site.read_cells() == make_oracle(own).count_cells()
    assert not site.notes["late_state"]


# sessions ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("gap_ms", "sessions"), [(30 * MINUTE - 1, 1), (30 * MINUTE, 1), (30 * MINUTE + 1, 2)])
def test_a_gap_of_exactly_30_minutes_is_no_end(gap_ms: int, sessions: int) -> None:
    site = make_site(Seen(NOON, "u"), Seen(NOON + gap_ms, "u"))
    assert site.sum_days("sessions", "sessions") == sessions
    assert site.sum_days("sessions", "bounces") == (0 if sessions == 1 else 2)


def test_a_late_event_joins_two_sessions_into_one() -> None:
    ends = Seen(NOON, "u", country="AT"), Seen(NOON + 50 * MINUTE, "u")
    assert make_site(*ends).sum_days("sessions", "sessions") == 2
    site = make_site(*ends, Seen(NOON + 25 * MINUTE, "u"))
    assert site.sum_days("sessions", "sessions") == 1
    assert site.sum_days("sessions", "events\x1fweb\x1fAT\x1fphone") == 3
    assert site.sum_days("sessions", "duration_ms") == 50 * MINUTE


def test_a_late_event_moves_the_start_of_its_session_to_another_day() -> None:
    midnight = NOON + 12 * HOUR
    site = make_site(Seen(midnight + MINUTE, "u"), Seen(midnight - MINUTE, "u"))
    assert [start * MINUTE for rollup, kind, start in site.read_cells() if (rollup, kind) == ("sessions", "day")] == [
        midnight - DAY
    ]


def test_events_at_one_time_have_the_smallest_dimensions_in_any_order() -> None:
    events = [Seen(NOON, "u", country=country, source=source) for country in ("DE", "AT") for source in ("web", "ios")]
    digests = [PeopleSite().take_all([e] for e in order).read_digest() for order in itertools.permutations(events)]
    assert all(digest == digests[0] for digest in digests)
    assert make_site(*events).sum_days("sessions", "sessions\x1fios\x1fAT\x1fphone") == 1


def test_events_of_servers_neither_start_nor_extend_a_session_and_mark_nothing() -> None:
    order = Seen(NOON + 20 * MINUTE, "u", name="Order Completed", source="server")
    site = make_site(Seen(NOON, "u", name="Product Added"), order, Seen(NOON + 40 * MINUTE, "u"))
    assert site.sum_days("sessions", "sessions") == 2
    assert (site.sum_days("sessions", "with_add"), site.sum_days("sessions", "with_order")) == (1, 0)
    assert make_site(order).sum_days("actives", "dau") == 1


def test_orders_and_carts_of_a_session() -> None:
    names = ("Product Added", "Order Completed", "Order Completed")
    site = make_site(*(Seen(NOON + n * MINUTE, "u", name=name) for n, name in enumerate(names)))
    measures = ("sessions", "events", "with_order", "with_add", "with_add_and_order")
    assert [site.sum_days("sessions", name) for name in measures] == [1, 3, 1, 1, 1]


# days --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "before", "after"),
    [
        ("Europe/Berlin", (2026, 3, 29, 1, 59), (2026, 3, 29, 3, 0)),  # the clock goes forward
        ("Europe/Berlin", (2026, 10, 25, 0, 30), (2026, 10, 25, 23, 59)),  # a day of 25 hours
        ("Australia/Lord_Howe", (2026, 4, 5, 0, 1), (2026, 4, 5, 23, 59)),  # by half an hour
        ("Asia/Kathmandu", (2026, 1, 1, 0, 0), (2026, 1, 1, 23, 59)),
        ("America/Sao_Paulo", (2018, 11, 4, 1, 0), (2018, 11, 4, 23, 59)),  # midnight is skipped
    ],
)
def test_one_local_day_is_one_whatever_the_clock_does(
    zone: str, before: tuple[int, ...], after: tuple[int, ...]
) -> None:
    site = make_site(Seen(find_local_ms(zone, *before), "u"), Seen(find_local_ms(zone, *after), "u"), zone=zone)
    assert (site.sum_days("actives", "dau"), site.sum_days("retention", "d1")) == (1, 0)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "Australia/Lord_Howe", "Europe/Berlin"])
def test_midnight_parts_days_and_no_sessions(zone: str) -> None:
    midnight = find_local_ms(zone, 2026, 11, 22)
    site = make_site(Seen(midnight - 1, "u"), Seen(midnight, "u"), zone=zone)
    assert (site.sum_days("actives", "dau"), site.sum_days("sessions", "sessions")) == (2, 1)
    assert (site.sum_days("actives", "wau"), site.sum_days("actives", "mau")) == (8, 31)


def test_a_leap_day_is_a_day() -> None:
    days = [find_local_ms("UTC", 2028, *day) for day in ((2, 28), (2, 29), (3, 1))]
    site = make_site(*(Seen(day, "u") for day in days))
    assert (site.sum_days("actives", "dau"), site.sum_days("actives", "wau")) == (3, 9)
    assert (site.sum_days("retention", "d1"), site.sum_days("retention", "d2")) == (1, 1)


@pytest.mark.parametrize("week_start", ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"])
def test_weeks_begin_where_the_project_says(week_start: str) -> None:
    site = make_site(*(Seen(NOON + day * DAY, "u") for day in (0, 6, 7, 20)), week_start=week_start)
    assert site.sum_days("retention", "w0") == 1
    assert sum(site.sum_days("retention", f"w{age}") for age in range(1, 5)) in (2, 3)


def test_a_person_who_is_first_seen_by_a_late_event_moves_to_another_cohort() -> None:
    later = Seen(NOON + 3 * DAY, "u"), Seen(NOON + 5 * DAY, "u")
    assert make_site(*later).sum_days("retention", "d2") == 1
    site = make_site(*later, Seen(NOON, "u", source="server"))
    assert (site.sum_days("retention", "d2"), site.sum_days("retention", "d3"), site.sum_days("retention", "d5")) == (
        0,
        1,
        1,
    )
    assert site.sum_days("actives", "new") == 1


def test_all_days_of_half_a_year() -> None:
    """The mask forgets days; what was counted of them stays."""
    make_site(*(Seen(NOON + day * DAY, "u") for day in (0, 1, 2, 29, 30, 31, 59, 60, 63, 64, 65, 90, 150, 180)))


def test_what_is_too_late_changes_no_state_and_is_counted() -> None:
    events = Seen(NOON + 40 * DAY, "u"), Seen(NOON + 40 * DAY - 25 * HOUR, "u"), Seen(NOON, "u")
    site = PeopleSite().take_all([event] for event in events)
    assert site.notes["late_state"] == 2
    assert (site.sum_days("actives", "dau"), site.sum_days("sessions", "sessions")) == (2, 1)


# who is who --------------------------------------------------------------------------------------------------------


def test_a_login_in_the_middle_of_a_session_leaves_one_person_and_one_session() -> None:
    events = [Seen(NOON, "", "a"), Seen(NOON + MINUTE, "u", "a", "$identify"), Seen(NOON + 2 * MINUTE, "u")]
    site = make_site(*events)
    assert (site.sum_days("actives", "dau"), site.sum_days("sessions", "sessions")) == (1, 1)
    assert site.sum_days("sessions", "events") == 3
    assert list(site.online) == [make_key("a", is_user=False)]


def test_a_link_unites_two_histories() -> None:
    phone = [Seen(NOON + day * DAY, "", "a") for day in (0, 2, 3)]
    laptop = [Seen(NOON + day * DAY, "u") for day in (1, 2)]
    apart = make_site(*phone, *laptop)
    assert (apart.sum_days("actives", "new"), apart.sum_days("actives", "dau")) == (2, 5)
    united = make_site(*phone, *laptop, Seen(NOON + 3 * DAY + MINUTE, "u", "a"))
    assert (united.sum_days("actives", "new"), united.sum_days("actives", "dau")) == (1, 4)
    assert united.notes["late_links"] == 1
    assert list(united.online) == [make_key("a", is_user=False)]


def test_three_devices_in_any_order_are_one_person() -> None:
    events = [Seen(NOON + n * 20 * MINUTE, "", device) for n, device in enumerate("abc")]
    events += [Seen(NOON + HOUR + n * MINUTE, "u", device) for n, device in enumerate("abc")]
    digests = [PeopleSite().take_all([e] for e in order).read_digest() for order in itertools.permutations(events)]
    assert all(digest == digests[0] for digest in digests)
    site = make_site(*events)
    assert (site.sum_days("actives", "dau"), site.sum_days("sessions", "sessions")) == (1, 1)


@pytest.mark.parametrize(
    "placeholder",
    [
        "undefined", "null", "None", "nil", "NaN", "[object Object]", "anonymousId", "userId", "guest", "0", "-1",
        "00000000-0000-0000-0000-000000000000", "000", " NULL ", "true", "false", "unknown",
        "n/a", "{}", "[]", "anonymous",
    ],
)  # fmt: skip
def test_placeholders_never_link(placeholder: str) -> None:
    as_user = make_site(*(Seen(NOON, placeholder, device) for device in "ab"))
    assert as_user.sum_days("actives", "dau") == 2, "as good as no user"
    as_device = make_site(*(Seen(NOON, user, placeholder) for user in ("u1", "u2")), Seen(NOON, "", placeholder))
    assert as_device.sum_days("actives", "dau") == 3, "a person of its own"


def test_equal_ids_are_no_link() -> None:
    site = make_site(Seen(NOON, "", "x"), Seen(NOON + MINUTE, "x", "x"))
    assert site.sum_days("actives", "dau") == 2


def test_a_second_user_takes_the_events_from_his_link_on() -> None:
    events = [
        Seen(NOON, "", "a"), Seen(NOON + 1, "u1", "a"), Seen(NOON + 2, "", "a"), Seen(NOON + DAY, "u2", "a"),
        Seen(NOON + DAY + 1, "", "a"), Seen(NOON + DAY + 2, "u1", "a"), Seen(NOON + 2 * DAY, "", "a"),
    ]  # fmt: skip
    site = make_site(*events)
    assert (site.sum_days("actives", "new"), site.sum_days("actives", "dau")) == (2, 4)
    assert not site.notes["identity_conflicts"]


def test_an_earlier_link_that_is_read_second_is_a_conflict() -> None:
    site = PeopleSite().take_all([[Seen(NOON + HOUR, "u1", "a")], [Seen(NOON, "u2", "a")]])
    assert site.notes["identity_conflicts"] == 1
    site_of_device = PeopleSite().take_all(
        [[Seen(NOON, "u1", "a")], [Seen(NOON + 2, "", "a")], [Seen(NOON + 1, "u2", "a")]]
    )
    assert site_of_device.notes["identity_conflicts"] == 1, "the first user has an event that was the second one's"


def test_the_canonical_id_is_the_one_that_was_seen_first() -> None:
    site = PeopleSite()
    names = site.take(Seen(NOON, "", "a"), Seen(NOON + 1, "u", "a"), Seen(NOON + 2, "v"))
    a, b, u = (make_key(text, is_user=text == "u") for text in "abu")
    assert names.canonical == {"demo": {u: a}}
    names = site.take(Seen(NOON + 3, "", "b"), Seen(NOON + 4, "u", "b"))
    assert names.canonical == {"demo": {u: a, b: a}}
    site.take(Seen(NOON - 1, "u"))
    assert site.online[u] == NOON + 4
    assert a not in site.online


def test_an_alias_links_what_it_was_before() -> None:
    from rtaplatform.process.decode.fast import read_event

    def read(**fields: str) -> tuple[bytes, bytes]:
        pairs = ",".join(f'"{name}":"{text}"' for name, text in fields.items())
        event = read_event(f'{{"projectId":"demo",{pairs}}}'.encode(), topic_source="web", record_timestamp_ms=0)
        return event.person, event.linked

    u, a, b = (make_key(text, is_user=text == "u") for text in "uab")
    assert read(type="alias", userId="u", previousId="a") == (u, a)
    assert read(type="alias", userId="u", previousId="a", anonymousId="b") == (u, a)
    assert read(type="alias", userId="u", anonymousId="b") == (u, b)
    assert read(type="alias", anonymousId="b", previousId="a") == (b, b"")
    assert read(type="page", userId="u", previousId="a") == (u, b"")
    assert read(type="alias", userId="u", previousId="a" * 300) == (u, b"")


def test_who_was_erased_takes_nothing_any_more() -> None:
    site = PeopleSite().take_all([[Seen(NOON, "", "a"), Seen(NOON + 1, "u", "a")]])
    before = site.read_cells()
    erased = ("demo", make_key("u", is_user=True))
    site.values[erased] = b"8 bytes." + ERASED_VALUE
    names = site.take(Seen(NOON + DAY, "u"), Seen(NOON + DAY, "", "a"), Seen(NOON + DAY, "u", "b"))
    assert site.read_cells() == before
    assert not names.online
    assert site.values[erased][8:] == ERASED_VALUE
    site.values[("demo", make_key("c", is_user=False))] = b"8 bytes." + ERASED_VALUE
    site.take(Seen(NOON + DAY, "w", "c"), Seen(NOON + DAY, "", "c"))
    assert site.sum_days("actives", "new") == 2, "another user of the device is counted, and linked to nothing"


def test_a_value_is_small() -> None:
    site = make_site(*(Seen(NOON + n * MINUTE, "u", "a") for n in range(20)))
    person = site.values[("demo", make_key("u", is_user=True))]
    assert isinstance(decode_value(person[8:]), Person)
    assert len(person) < 100
    assert len(site.values[("demo", make_key("a", is_user=False))]) < 60
