"""Workers and oracle agree on any record: same outcome, same reason, same numbers."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtaplatform.simulate.shop.malformed import BREAKAGES
from tests.comparison import check_the_law, compute_expected, find_differences, read_memory_totals
from tests.comparison_of_people import EXACT, WORLDS, find_differences_in_any_order
from tests.examples import count_examples
from tests.unit.process.decode.odd_records import (
    Sent,
    count_by_a_worker,
    count_by_the_oracle,
    make_log,
    sent,
    write_text,
)

FEWEST = 40  # worlds, of which a fifth has to be exact: of fewer, too few may be


def find_disagreements(
    records: list[Sent], *, batch_max: int = 100, shards: int = 1, tally: Counter[str] | None = None
) -> list[str]:
    """Where workers and oracle differ. Sums are compared first: a reason alone can be wrong too.

    `tally`: where some of the events may be of any time, so that some of them are too late for their persons.
    """
    broker = make_log(records)
    store, truth = count_by_a_worker(broker, batch_max=batch_max, shards=shards), count_by_the_oracle(broker)
    totals = read_memory_totals(store)
    totals.dead |= set(broker.dead_letters)  # those of 400 days ago are forgotten, and rightly so
    expected = compute_expected(truth)
    wrong = (
        find_differences(totals, expected) if tally is None else find_differences_in_any_order(totals, expected, tally)
    )
    wrong += check_the_law(totals)
    reasons = {origin: str(dead_letter.reason) for origin, dead_letter in broker.dead_letters.items()}
    wrong += [
        f"{origin} is dead by {reasons.get(origin)}, by the rules {truth.dead.get(origin)}"
        for origin in sorted(reasons.keys() | truth.dead.keys())
        if reasons.get(origin) != truth.dead.get(origin)
    ]
    consumed = sum(n for name, n in totals.counts.items() if name.endswith("|consumed"))
    return wrong + ([] if consumed == len(records) else [f"{consumed} consumed of {len(records)}"])


def test_workers_and_oracle_agree_on_any_records() -> None:
    """In many examples nobody's event is too late, and then people are compared exactly like everything else."""
    tally = Counter[str]()

    @given(st.lists(sent, min_size=1, max_size=12), st.sampled_from([1, 2, 5, 100]), st.sampled_from([1, 3]))
    @settings(max_examples=max(FEWEST, count_examples(150)), deadline=None)
    def agree(records: list[Sent], batch_max: int, shards: int) -> None:
        assert find_disagreements(records, batch_max=batch_max, shards=shards, tally=tally) == []

    agree()
    # The share varies from run to run, from 0.7 to 1: examples are alike, and one late event may come again and again.
    assert tally[EXACT] > 0.2 * tally[WORLDS] > 0, tally


@pytest.mark.parametrize(("reason", "breakage"), BREAKAGES)
def test_workers_and_oracle_agree_on_each_known_breakage(reason: str, breakage: object) -> None:
    assert callable(breakage)
    message = {"projectId": "demo", "type": "page", "messageId": "m", "anonymousId": "a", "context": {"page": {}}}
    records = [Sent("rta.events.web", b"k", breakage(message), 0, False)]
    assert find_disagreements(records) == []
    assert list(count_by_the_oracle(make_log(records)).dead.values()) == [reason]


def make_one(fields: dict[str, object], *, was_collected: bool = False) -> Sent:
    message = {"projectId": "demo", "type": "page", "messageId": "m", "anonymousId": "a", **fields}
    return Sent("rta.events.web", b"k", write_text(message).encode(), 0, was_collected)
