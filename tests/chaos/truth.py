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


def lies(history: History, counted: Counted) -> list[str]:
    """Everything that was said and was not so, a line each."""
    answered = sorted((a for a in history.answers if a.status == 200), key=lambda a: a.at.since)
    return [
        *_not_an_answer(history),
        *_numbers_without_a_store(answered, history.down["redis"]),
        *_backwards(answered, history.rewinds),
        *_complete_though_behind(answered),
        *_beyond_the_log(answered, history.ends, counted),
        *_as_of_too_late(answered, history.ends, counted),
        *_lag_is_not_the_age_of_as_of(answered),
        *_complete_though_stuck(answered, history),
        *_ready_though_down(history),
    ]


def _not_an_answer(history: History) -> Iterator[str]:
    said = [(a.at, a.status) for a in history.answers] + [(r.at, r.status) for r in history.readiness]
    for at, status in said:
        if status not in (200, 503):
            yield f"{_when(at)}: answered {status}"


def _numbers_without_a_store(answered: Sequence[Answer], down: Sequence[Span]) -> Iterator[str]:
    for answer in answered:
        if any(span.since <= answer.at.since and answer.at.until <= span.until for span in down):
            yield f"{_when(answer.at)}: numbers, while there was no store"


def _backwards(answered: Sequence[Answer], rewinds: Sequence[Span]) -> Iterator[str]:
    """Between two rewinds totals only grow."""
    starts = sorted(span.since for span in rewinds)
    eras: dict[int, list[Answer]] = {}
    for answer in answered:
        if not any(answer.at.overlaps(span) for span in rewinds):
            eras.setdefault(bisect_left(starts, answer.at.since), []).append(answer)
    for era in eras.values():
        for answer, greatest in _with_greatest_before(era):
            if answer.total < greatest:
                yield f"{_when(answer.at)}: {answer.total} after {greatest}, and nothing had gone back"


def _complete_though_behind(answered: Sequence[Answer]) -> Iterator[str]:
    for answer, greatest in _with_greatest_before(answered):
        if answer.complete and answer.total < greatest:
            yield f"{_when(answer.at)}: {answer.total} called complete after {greatest}"


def _with_greatest_before(answered: Sequence[Answer]) -> Iterator[tuple[Answer, int]]:
    """Each answer with the greatest total that was known before it was asked for."""
    done = sorted(answered, key=lambda a: a.at.until)
    greatest, number = 0, 0
    for answer in answered:
        while number < len(done) and done[number].at.until <= answer.at.since:
            greatest = max(greatest, done[number].total)
            number += 1
        yield answer, greatest


def _beyond_the_log(answered: Sequence[Answer], ends: Sequence[Ends], counted: Counted) -> Iterator[str]:
    """No more than what the log held once the answer was there."""
    asked = [one.at.since for one in ends]
    for answer in answered:
        number = bisect_left(asked, answer.at.until)
        if number < len(ends) and answer.total > counted(ends[number].ends):
            yield f"{_when(answer.at)}: {answer.total}, but the log held {counted(ends[number].ends)}"


def _as_of_too_late(answered: Sequence[Answer], ends: Sequence[Ends], counted: Counted) -> Iterator[str]:
    """Whatever was seen in the log before `as_of` is counted."""
    seen = [one.received_wall_ms for one in ends]
    for answer in answered:
        if answer.as_of_ms is None:
            continue
        if answer.as_of_ms > answer.received_wall_ms:
            yield f"{_when(answer.at)}: as_of lies ahead"
        number = bisect_left(seen, answer.as_of_ms) - 1
        if number >= 0 and answer.total < counted(ends[number].ends):
            yield f"{_when(answer.at)}: {answer.total}, though {counted(ends[number].ends)} came before as_of"


def _lag_is_not_the_age_of_as_of(answered: Sequence[Answer]) -> Iterator[str]:
    for answer in answered:
        if answer.as_of_ms is not None and answer.lag_ms is not None:
            least = answer.sent_wall_ms - answer.as_of_ms - CLOCKS_MS
            if not least <= answer.lag_ms <= answer.received_wall_ms - answer.as_of_ms + CLOCKS_MS:
                yield f"{_when(answer.at)}: lag {answer.lag_ms} ms is not the age of as_of, {least} or a little more"


# standing still --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Still:
    """A partition that has unread records and does not advance, in a time in which everyone could see it."""

    what: str
    at: Span


def _complete_though_stuck(answered: Sequence[Answer], history: History) -> Iterator[str]:
    for still in _standing(history):
        told_from = still.at.since + STUCK_SECONDS + NOTICED_SECONDS
        for answer in answered:
            if answer.complete and told_from <= answer.at.since and answer.at.until <= still.at.until:
                yield f"{_when(answer.at)}: complete, though {still.what} stands since {_when(still.at)}"


def stands_told(history: History) -> int:
    """How many answers there were that had to say that something stands still."""
    answered = [a for a in history.answers if a.status == 200]
    stands = [Span(s.at.since + STUCK_SECONDS + NOTICED_SECONDS, s.at.until) for s in _standing(history)]
    return sum(any(s.since <= a.at.since and a.at.until <= s.until for s in stands) for a in answered)


def _standing(history: History) -> Iterator[_Still]:
    blurred = [_blurred(span, history) for spans in history.down.values() for span in spans]
    blurred += [_blurred(span, history) for span in history.rewinds]
    for place in {place for ledger in history.ledgers for place in ledger.offsets}:
        for still in _stretches(history.ledgers, place, history.ends):
            if still.until - still.since > STUCK_SECONDS and not any(still.overlaps(span) for span in blurred):
                yield _Still(f"{place.topic_id}:{place.partition}", still)


def _blurred(span: Span, history: History) -> Span:
    """Until the API has seen both servers again: then it says that it includes something later than this."""
    again = (a.at.until for a in history.answers if a.status == 200 and a.includes(span.until))
    return Span(span.since, min(again, default=inf))


def _stretches(ledgers: Sequence[Ledger], place: PartitionId, ends: Sequence[Ends]) -> Iterator[Span]:
    """While the ledger stood at one offset, from when a later record was seen. Offsets only grow, so it never moved."""
    received = [one.at.until for one in ends]
    first = 0
    for number, ledger in enumerate(ledgers):
        offset = ledgers[first].offsets.get(place, 0)
        last = number + 1 == len(ledgers)
        if not last and ledgers[number + 1].offsets.get(place, 0) == offset:
            continue
        unread = _first_beyond(ends[bisect_right(received, ledgers[first].at.until) :], place, offset)
        if unread is not None and unread < ledger.at.since:
            yield Span(unread, ledger.at.since)
        first = number + 1


def _first_beyond(ends: Sequence[Ends], place: PartitionId, offset: int) -> float | None:
    return next((one.at.until for one in ends if one.ends.get(place, 0) > offset), None)


# readiness -------------------------------------------------------------------------------------------------------


def _ready_though_down(history: History) -> Iterator[str]:
    for server, span, one in _told_of_down(history):
        if one.status != 503 or server not in one.missing:
            yield f"{_when(one.at)}: {one.status}, missing {one.missing}, though {server} is away since {_when(span)}"


def downs_told(history: History) -> int:
    """How many answers there were that had to say that a server is away."""
    return sum(1 for _ in _told_of_down(history))


def _told_of_down(history: History) -> Iterator[tuple[str, Span, Readiness]]:
    for server, spans in history.down.items():
        for span in spans:
            told = Span(span.since + READINESS_REUSED_SECONDS, span.until)
            for one in history.readiness:
                if told.since < one.at.since and one.at.until <= told.until:
                    yield server, span, one


def _when(at: Span) -> str:
    return f"{at.since:.2f}–{at.until:.2f}"
