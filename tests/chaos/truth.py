"""Whether health told the truth: what was seen during a run, against what was so.

Every rule is a proof, no guess: it judges only what could not have been otherwise, whatever the timing. `Counted` is
the oracle's: how many events of a partition's first n records count.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from rtaplatform.core.ledger import PartitionId
from tests.chaos.history import Answer, Ends, History, Ledger, Readiness, Span

READINESS_REUSED_SECONDS = 2.0  # as serve/http/health.py promises
STUCK_SECONDS = 10.0  # as docs/reference/api.md promises of `complete`
NOTICED_SECONDS = 3.0  # the API looks at ends and ledgers about once a second
CLOCKS_MS = 50  # two clocks, read one after the other

Counted = Callable[[Mapping[PartitionId, int]], int]


def find_lies(history: History, counted: Counted) -> list[str]:
    """Everything that was said and was not so, a line each."""
    answered = sorted((a for a in history.answers if a.status == 200), key=lambda a: a.at.since)
    return [
        *_find_non_answers(history),
        *_find_numbers_without_a_store(answered, history.down["redis"]),
        *_find_totals_that_shrink(answered, history.rewinds),
        *_complete_though_behind(answered),
        *_find_totals_beyond_the_log(answered, history.ends, counted),
        *_find_as_of_too_late(answered, history.ends, counted),
        *_find_lags_that_are_not_the_age_of_as_of(answered),
        *_complete_though_stuck(answered, history),
        *_find_ready_though_down(history),
    ]


def _find_non_answers(history: History) -> Iterator[str]:
    statuses = [(a.at, a.status) for a in history.answers] + [(r.at, r.status) for r in history.readiness]
    for at, status in statuses:
        if status not in (200, 503):
            yield f"{_format_span(at)}: answered {status}"


def _find_numbers_without_a_store(answered: Sequence[Answer], down: Sequence[Span]) -> Iterator[str]:
    for answer in answered:
        if any(span.since <= answer.at.since and answer.at.until <= span.until for span in down):
            yield f"{_format_span(answer.at)}: numbers, while there was no store"


def _find_totals_that_shrink(answered: Sequence[Answer], rewinds: Sequence[Span]) -> Iterator[str]:
    """Between two rewinds totals only grow."""
    starts = sorted(span.since for span in rewinds)
    eras: dict[int, list[Answer]] = {}
    for answer in answered:
        if not any(answer.at.overlaps(span) for span in rewinds):
            eras.setdefault(bisect_left(starts, answer.at.since), []).append(answer)
    for era in eras.values():
        for answer, greatest in _with_greatest_before(era):
            if answer.total < greatest:
                yield f"{_format_span(answer.at)}: {answer.total} after {greatest}, and nothing had gone back"


def _complete_though_behind(answered: Sequence[Answer]) -> Iterator[str]:
    for answer, greatest in _with_greatest_before(answered):
        if answer.complete and answer.total < greatest:
            yield f"{_format_span(answer.at)}: {answer.total} called complete after {greatest}"


def _with_greatest_before(answered: Sequence[Answer]) -> Iterator[tuple[Answer, int]]:
    """Each answer with the greatest total that was known before it was asked for."""
    by_end = sorted(answered, key=lambda a: a.at.until)
    greatest, number = 0, 0
    for answer in answered:
        while number < len(by_end) and by_end[number].at.until <= answer.at.since:
            greatest = max(greatest, by_end[number].total)
            number += 1
        yield answer, greatest


def _find_totals_beyond_the_log(answered: Sequence[Answer], ends: Sequence[Ends], counted: Counted) -> Iterator[str]:
    """No more than what the log held once the answer was there."""
    starts = [end.at.since for end in ends]
    for answer in answered:
        number = bisect_left(starts, answer.at.until)
        if number < len(ends) and answer.total > counted(ends[number].ends):
            yield f"{_format_span(answer.at)}: {answer.total}, but the log held {counted(ends[number].ends)}"


def _find_as_of_too_late(answered: Sequence[Answer], ends: Sequence[Ends], counted: Counted) -> Iterator[str]:
    """Whatever was seen in the log before `as_of` is counted."""
    received_ms = [end.received_wall_ms for end in ends]
    for answer in answered:
        if answer.as_of_ms is None:
            continue
        if answer.as_of_ms > answer.received_wall_ms:
            yield f"{_format_span(answer.at)}: as_of lies ahead"
        number = bisect_left(received_ms, answer.as_of_ms) - 1
        if number >= 0 and answer.total < counted(ends[number].ends):
            yield f"{_format_span(answer.at)}: {answer.total}, though {counted(ends[number].ends)} came before as_of"


def _find_lags_that_are_not_the_age_of_as_of(answered: Sequence[Answer]) -> Iterator[str]:
    for answer in answered:
        if answer.as_of_ms is not None and answer.lag_ms is not None:
            least = answer.sent_wall_ms - answer.as_of_ms - CLOCKS_MS
            if not least <= answer.lag_ms <= answer.received_wall_ms - answer.as_of_ms + CLOCKS_MS:
                lag = f"lag {answer.lag_ms} ms is not the age of as_of"
                yield f"{_format_span(answer.at)}: {lag}, {least} or a little more"


# standing still --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Still:
    """A partition that has unread records and does not advance, in a time in which everyone could see it."""

    what: str
    at: Span


def _complete_though_stuck(answered: Sequence[Answer], history: History) -> Iterator[str]:
    for still in _find_standing(history):
        told_from = still.at.since + STUCK_SECONDS + NOTICED_SECONDS
        for answer in answered:
            if answer.complete and told_from <= answer.at.since and answer.at.until <= still.at.until:
                yield f"{_format_span(answer.at)}: complete, though {still.what} stands since {_format_span(still.at)}"


def count_stands_told(history: History) -> int:
    """How many answers there were that had to say that something stands still."""
    answered = [a for a in history.answers if a.status == 200]
    stands = [Span(s.at.since + STUCK_SECONDS + NOTICED_SECONDS, s.at.until) for s in _find_standing(history)]
    return sum(any(s.since <= a.at.since and a.at.until <= s.until for s in stands) for a in answered)


def _find_standing(history: History) -> Iterator[_Still]:
    blurred = [_blur(span, history) for spans in history.down.values() for span in spans]
    blurred += [_blur(span, history) for span in history.rewinds]
    for place in {place for ledger in history.ledgers for place in ledger.offsets}:
        for still in _find_stretches(history.ledgers, place, history.ends):
            if still.until - still.since > STUCK_SECONDS and not any(still.overlaps(span) for span in blurred):
                yield _Still(f"{place.topic_id}:{place.partition}", still)


def _blur(span: Span, history: History) -> Span:
    """Until the API has seen both servers again: then it says that it includes something later than this."""
    again = (a.at.until for a in history.answers if a.status == 200 and a.includes(span.until))
    return Span(span.since, min(again, default=inf))


def _find_stretches(ledgers: Sequence[Ledger], place: PartitionId, ends: Sequence[Ends]) -> Iterator[Span]:
    """While the ledger stood at one offset, from when a later record was seen. Offsets only grow, so it never moved."""
    received = [end.at.until for end in ends]
    first = 0
    for number, ledger in enumerate(ledgers):
        offset = ledgers[first].offsets.get(place, 0)
        last = number + 1 == len(ledgers)
        if not last and ledgers[number + 1].offsets.get(place, 0) == offset:
            continue
        unread = _find_first_beyond(ends[bisect_right(received, ledgers[first].at.until) :], place, offset)
        if unread is not None and unread < ledger.at.since:
            yield Span(unread, ledger.at.since)
        first = number + 1


def _find_first_beyond(ends: Sequence[Ends], place: PartitionId, offset: int) -> float | None:
    return next((end.at.until for end in ends if end.ends.get(place, 0) > offset), None)


# readiness -------------------------------------------------------------------------------------------------------


def _find_ready_though_down(history: History) -> Iterator[str]:
    for server, span, readiness in _list_told_of_down(history):
        if readiness.status != 503 or server not in readiness.missing:
            answer = f"{readiness.status}, missing {readiness.missing}"
            yield f"{_format_span(readiness.at)}: {answer}, though {server} is away since {_format_span(span)}"


def count_downs_told(history: History) -> int:
    """How many answers there were that had to say that a server is away."""
    return sum(1 for _ in _list_told_of_down(history))


def _list_told_of_down(history: History) -> Iterator[tuple[str, Span, Readiness]]:
    for server, spans in history.down.items():
        for span in spans:
            due_span = Span(span.since + READINESS_REUSED_SECONDS, span.until)
            for readiness in history.readiness:
                if due_span.since < readiness.at.since and readiness.at.until <= due_span.until:
                    yield server, span, readiness


def _format_span(at: Span) -> str:
    return f"{at.since:.2f}–{at.until:.2f}"
