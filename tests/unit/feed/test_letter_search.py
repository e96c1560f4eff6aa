"""Dead letters are found newest first, by project, reason and time, in a bounded reading."""

from __future__ import annotations

import msgspec
import pytest

from rtaplatform.core.errors import NotFound, Unavailable
from rtaplatform.core.events import DEAD_LETTERS_TOPIC, REJECTED_TOPIC
from rtaplatform.feed.event_items import DEAD, REJECTED
from rtaplatform.feed.letter_search import (
    FIELDS_OF_LETTER,
    SCANNED_MAX,
    Letter,
    LetterPage,
    LetterQuestion,
    LetterSearch,
    describe_letter,
    find_place,
)
from rtaplatform.stream.port import TailRecord
from tests.unit.feed.memory_tail import NOW_MS, MemoryTail, make_event, record


def make_dead_letter(
    offset: int, reason: str = "unknown_type", project: str = "demo", value: object = None
) -> TailRecord:
    sent = make_event() if value is None else value
    return record(
        sent, offset, topic=DEAD_LETTERS_TOPIC, rta_origin=f"rta.events.web:0:{offset}", rta_reason=reason,
        rta_detail="So it is.", rta_project=project, rta_timestamp=str(NOW_MS - 1_000),
    )  # fmt: skip


def search(*letters: TailRecord, refused: tuple[TailRecord, ...] = ()) -> LetterSearch:
    tails = {DEAD: MemoryTail(), REJECTED: MemoryTail()}
    tails[DEAD].append(*letters)
    tails[REJECTED].append(*refused)
    return LetterSearch(tails)


def list_offsets(page: LetterPage) -> list[int]:
    return [int(letter.item.id.rpartition(":")[2]) for letter in page.letters]


def test_a_project_sees_its_own_letters_newest_first_with_counts() -> None:
    letters = search(
        make_dead_letter(1),
        make_dead_letter(2, "time_in_future"),
        make_dead_letter(3, project="other"),
        make_dead_letter(4),
        make_dead_letter(5, project=""),
    )
    page = letters.find(LetterQuestion(DEAD, "demo"))
    assert (list_offsets(page), page.counts) == ([4, 2, 1], {"unknown_type": 2, "time_in_future": 1})
    assert list_offsets(letters.find(LetterQuestion(DEAD, None))) == [5, 4, 3, 2, 1]
    assert list_offsets(letters.find(LetterQuestion(DEAD, ""))) == [5]


def test_reason_and_period_choose_and_counts_are_of_the_period() -> None:
    letters = search(make_dead_letter(1), make_dead_letter(2, "time_in_future"), make_dead_letter(3))
    page = letters.find(LetterQuestion(DEAD, "demo", "unknown_type", from_ms=NOW_MS + 2))
    assert (list_offsets(page), page.counts) == ([3], {"unknown_type": 1, "time_in_future": 1})
    assert list_offsets(letters.find(LetterQuestion(DEAD, "demo", to_ms=NOW_MS + 2))) == [1]


def test_pages_follow_each_other() -> None:
    letters = search(*(make_dead_letter(n) for n in range(5)))
    first = letters.find(LetterQuestion(DEAD, "demo", limit=3))
    second = letters.find(LetterQuestion(DEAD, "demo", before=find_place(first.letters[-1]), limit=3))
    assert (list_offsets(first), first.has_more, list_offsets(second), second.has_more) == (
        [4, 3, 2],
        True,
        [1, 0],
        False,
    )


def test_a_letter_that_was_written_twice_is_one() -> None:
    again = msgspec.structs.replace(make_dead_letter(1, "time_in_future"), offset=9)
    page = search(make_dead_letter(1), again).find(LetterQuestion(DEAD, "demo"))
    assert [letter.reason for letter in page.letters] == ["time_in_future"]


def test_one_letter_is_shown_with_its_remedy_and_not_to_others() -> None:
    refused = record(b"{", 7, topic=REJECTED_TOPIC, rta_project="demo", rta_reason="not_json")
    letters = search(make_dead_letter(1), refused=(refused,))
    shown = describe_letter(letters.find_one("rta.events.web:0:1", "demo"))
    assert tuple(shown) == tuple(FIELDS_OF_LETTER)
    assert (shown["kind"], shown["reason"], shown["detail"]) == ("dead", "unknown_type", "So it is.")
    assert "track, page" in str(shown["hint"])
    assert describe_letter(letters.find_one("rta.rejected:0:7", None))["kind"] == "rejected"
    with pytest.raises(NotFound):
        letters.find_one("rta.events.web:0:1", "other")


def test_a_reading_that_meets_its_bound_says_from_when_on_it_looked() -> None:
    assert search(make_dead_letter(1)).find(LetterQuestion(DEAD, "demo")).scanned_from is None
    page = search(*(make_dead_letter(n) for n in range(SCANNED_MAX))).find(LetterQuestion(DEAD, "demo", limit=1))
    assert page.scanned_from is not None


def test_a_large_record_is_shown_by_its_beginning() -> None:
    (letter,) = (
        search(make_dead_letter(1, value=make_event(note="x" * 500_000))).find(LetterQuestion(DEAD, "demo")).letters
    )
    assert isinstance(letter, Letter)
    assert (len(letter.item.raw), letter.item.is_raw_cut) == (8_192, True)


def test_kafka_away_is_unavailable_and_the_tail_is_closed() -> None:
    tail = MemoryTail()
    tail.problem = Unavailable("kafka", "It is away.")
    with pytest.raises(Unavailable):
        LetterSearch({DEAD: tail}).find(LetterQuestion(DEAD, "demo"))
    assert tail.closed == 1
