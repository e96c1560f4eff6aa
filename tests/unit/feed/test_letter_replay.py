"""Dead letters are written again as they were, with their origin; what cannot be replayed says why."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from rtaplatform.core.errors import NotFound
from rtaplatform.core.events import REJECTED_TOPIC
from rtaplatform.feed.event_items import DEAD, REJECTED
from rtaplatform.feed.letter_replay import LetterReplay
from rtaplatform.feed.letter_search import LetterQuestion, LetterSearch
from rtaplatform.stream.port import Partition, Replay, TailPortion, TailRecord
from tests.unit.feed.memory_tail import NOW_MS, make_event, record
from tests.unit.feed.test_letter_search import make_dead_letter


class WholeTopic:
    """A tail that reads the same records whenever it is opened."""

    def __init__(self, *records: TailRecord) -> None:
        self._records = records

    def open(self, last: int) -> None: ...
    def poll(self, seconds: float) -> TailPortion:
        return TailPortion(self._records, is_at_end=True)

    def close(self) -> None: ...


class Log:
    def __init__(self) -> None:
        self.replays: list[Replay] = []

    def append(self, replays: Sequence[Replay]) -> None:
        self.replays += replays


def replay(log: Log, *letters: TailRecord, refused: tuple[TailRecord, ...] = ()) -> LetterReplay:
    return LetterReplay(LetterSearch({DEAD: WholeTopic(*letters), REJECTED: WholeTopic(*refused)}), log)


def test_a_letter_is_written_again_as_it_was() -> None:
    log, large = Log(), make_dead_letter(7, value=make_event(note="x" * 20_000))
    large.headers["rta-key"] = b"demo:me"
    result = replay(log, large).replay_one("rta.events.web:0:7", "demo")
    (written,) = log.replays
    assert (result.id, result.result) == ("rta.events.web:0:7", "replayed")
    assert written == Replay(
        Partition("rta.events.web", 0), "rta.events.web:0:7", NOW_MS - 1_000, b"demo:me", large.value
    )


def test_all_of_a_project_and_reason_are_written_the_oldest_first() -> None:
    log = Log()
    letters = (
        make_dead_letter(1),
        make_dead_letter(2, "time_in_future"),
        make_dead_letter(3),
        make_dead_letter(4, project="other"),
    )
    results = replay(log, *letters).replay_all(LetterQuestion(DEAD, "demo", "unknown_type"))
    assert [letter_replay.origin for letter_replay in log.replays] == ["rta.events.web:0:1", "rta.events.web:0:3"]
    assert [result.result for result in results] == ["replayed", "replayed"]


def test_what_cannot_be_replayed_says_so_and_is_not_written() -> None:
    log, cut = Log(), make_dead_letter(1)
    cut.headers["rta-cut"] = b"value 900000 bytes"
    refused = record(b"{", 7, topic=REJECTED_TOPIC, rta_project="demo", rta_reason="not_json")
    letters = replay(log, cut, make_dead_letter(2, "not_json", project=""), refused=(refused,))
    results = [
        letters.replay_one(id, None).result for id in ("rta.events.web:0:1", "rta.events.web:0:2", "rta.rejected:0:7")
    ]
    assert results == ["incomplete", "not_replayable", "not_replayable"]
    assert log.replays == []


def test_letters_of_others_are_not_found() -> None:
    with pytest.raises(NotFound):
        replay(Log(), make_dead_letter(1, project="other")).replay_one("rta.events.web:0:1", "demo")
