"""The oracle leaves out erased people, records that were set aside, and buckets that nobody wants."""

from __future__ import annotations

from rtaplatform.simulate.oracle.oracle import Oracle
from tests.unit.simulate.oracle.oracle_records import make_raw

RULES = {"demo": {"zone": "UTC", "currency": "EUR"}}


def test_who_is_erased_has_no_events_any_more_and_others_have() -> None:
    oracle = Oracle(RULES)
    oracle.add(make_raw(userId="u-1", anonymousId="a-1", messageId="m-1"))
    oracle.erase("demo", "u-1", ["a-2"])
    for number, ids in enumerate(({"userId": "u-1"}, {"anonymousId": "a-1"}, {"anonymousId": "a-2"})):
        oracle.add(make_raw(**{"userId": None, "anonymousId": None, "messageId": f"n-{number}"} | ids))
    oracle.add(make_raw(userId="u-2", anonymousId="a-2", messageId="m-9"))
    visits = oracle.truth.visits["demo"]
    assert [visit.user for visit in visits] == [("u", "u-1"), ("u", "u-2")]
    assert visits[1].anonymous is None  # an erased id is linked to nobody
    assert oracle.truth.projects["demo"].totals["applied"] == 5


def test_what_was_set_aside_is_dead() -> None:
    oracle = Oracle(RULES)
    record = make_raw()
    oracle.set_aside(f"{record.topic}:{record.partition}:{record.offset}")
    oracle.add(record)
    assert list(oracle.truth.dead.values()) == ["internal"]
    assert oracle.truth.projects["demo"].totals["applied"] == 0


def test_events_outside_the_wanted_buckets_are_remembered_and_not_counted() -> None:
    oracle = Oracle(RULES, counts=lambda _kind, _start: False)
    oracle.add(make_raw(messageId="m-1"))
    oracle.add(make_raw(messageId="m-1"))
    truth = oracle.truth.projects["demo"]
    assert (truth.totals["applied"], truth.totals["duplicate"]) == (1, 1)
    assert not truth.events
    assert not truth.quality
