"""The judge of health is judged: a true history has no lies, and each planted lie is found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rtaplatform.core.ledger import PartitionId
from tests.chaos.history import Answer, Ends, History, Ledger, Readiness, Span
from tests.chaos.truth import count_downs_told, count_stands_told, find_lies

PLACE = PartitionId("topic", 0)
WALL = 1_000_000_000  # the wall's milliseconds at the monotonic second 0
SECONDS = 60


def count_records(ends: Mapping[PartitionId, int]) -> int:
    """Every record counts."""
    return ends[PLACE]


def answer(second: float, total: int, *, complete: bool = True, as_of: float | None = None, **more: Any) -> Answer:
    """What the API says at this second, being asked a tenth before and answering a tenth after."""
    sent, received, moment = second - 0.1, second + 0.1, second - 0.5 if as_of is None else as_of
    fields = {
        "as_of_ms": WALL + round(moment * 1000), "lag_ms": round((second - moment) * 1000),
        "sent_wall_ms": WALL + round(sent * 1000), "received_wall_ms": WALL + round(received * 1000),
    }  # fmt: skip
    return Answer(Span(sent, received), 200, total, complete, **(fields | more))


def make_true_history() -> History:
    """Ten records a second, counted half a second later."""
    history = History()
    for second in range(1, SECONDS):
        history.ends.append(Ends(Span(second, second), WALL + second * 1000, {PLACE: 10 * second}))
        history.ledgers.append(Ledger(Span(second, second), {PLACE: 10 * second - 5}))
        history.answers.append(answer(second + 0.5, 10 * second))
        history.readiness.append(Readiness(Span(second, second + 0.1), 200))
    return history


def with_answer(number: int, replacement: Answer) -> list[str]:
    history = make_true_history()
    history.answers[number] = replacement
    return find_lies(history, count_records)


def test_the_truth_is_no_lie() -> None:
    assert find_lies(make_true_history(), count_records) == []


def test_a_total_that_goes_back_is_found_unless_the_store_did() -> None:
    back = answer(30.5, 200, complete=False, as_of=20.5)
    assert with_answer(29, back) == ["30.40–30.60: 200 after 290, and nothing had gone back"]
    history = make_true_history()
    history.answers[29] = back
    history.rewinds.append(Span(29.7, 30.3))
    assert find_lies(history, count_records) == []


def test_complete_behind_where_it_was_is_found_also_after_a_rewind() -> None:
    history = make_true_history()
    history.answers[29] = answer(30.5, 200, as_of=20.5)
    history.rewinds.append(Span(29.7, 30.3))
    assert find_lies(history, count_records) == ["30.40–30.60: 200 called complete after 290"]


def test_more_than_the_log_held_is_found() -> None:
    assert "30.40–30.60: 330, but the log held 310" in with_answer(29, answer(30.5, 330))


def test_an_as_of_that_is_not_kept_is_found() -> None:
    late = answer(30.5, 300, as_of=30.59)
    assert with_answer(29, late._replace(total=295)) == ["30.40–30.60: 295, though 300 came before as_of"]
    ahead = answer(30.5, 300, as_of=33.0)
    assert "30.40–30.60: as_of lies ahead" in with_answer(29, ahead)


def test_a_lag_that_is_not_the_age_of_as_of_is_found() -> None:
    assert len(with_answer(29, answer(30.5, 300, lag_ms=0))) == 1


def test_a_status_that_no_client_can_take_is_found() -> None:
    assert with_answer(29, Answer(Span(30.4, 30.6), 500)) == ["30.40–30.60: answered 500"]


def test_numbers_without_a_store_are_found() -> None:
    history = make_true_history()
    history.down["redis"].append(Span(30.0, 31.0))
    assert find_lies(history, count_records) == ["30.40–30.60: numbers, while there was no store"]


def let_stand(history: History, *, since: int, complete: bool) -> History:
    """From this second on nothing is counted any more."""
    for second in range(since, SECONDS):
        history.ledgers[second - 1] = Ledger(Span(second, second), {PLACE: 10 * since - 5})
        standing_answer = answer(second + 0.5, 10 * since - 5, complete=complete, as_of=since - 1.0)
        history.answers[second - 1] = standing_answer
    return history


def test_complete_though_a_partition_stands_is_found() -> None:
    honest_history = let_stand(make_true_history(), since=20, complete=False)
    assert find_lies(honest_history, count_records) == []
    assert count_stands_told(honest_history) > 10
    untold = find_lies(let_stand(make_true_history(), since=20, complete=True), count_records)
    assert len(untold) == count_stands_told(honest_history)
    assert all("complete, though topic:0 stands" in line for line in untold)


def test_a_standstill_that_nobody_could_see_is_no_lie() -> None:
    history = let_stand(make_true_history(), since=20, complete=True)
    history.down["kafka"].append(Span(22.0, 23.0))  # and no answer after it includes anything later
    assert find_lies(history, count_records) == []


def test_ready_though_a_server_is_away_is_found() -> None:
    history = make_true_history()
    history.down["kafka"].append(Span(30.0, 36.0))
    assert len(find_lies(history, count_records)) == count_downs_told(history) == 3
    for number, readiness in enumerate(history.readiness):
        if 30 <= readiness.at.since <= 36:
            history.readiness[number] = readiness._replace(status=503, missing=("kafka",))
    assert find_lies(history, count_records) == []
    for number, readiness in enumerate(history.readiness):
        if 30 <= readiness.at.since <= 36:
            history.readiness[number] = readiness._replace(missing=("redis",))
    assert len(find_lies(history, count_records)) == 3
