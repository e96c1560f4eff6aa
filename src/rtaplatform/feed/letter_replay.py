"""Replay dead letters: write them into their topics of origin again.   stream → [feed] → serve.

Promise: of all replays of a letter at most one counts. The replay names its origin, and the workers count it only if
the same call takes that origin out of the shard's dead letters (process/fold/replays.py). So a replay may be repeated
in any doubt. A record that is still wrong becomes a dead letter again, in place of the old one.
Not replayed: refused events, letters of which only the beginning is kept, and records that name no project.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

from msgspec import Struct

from rtaplatform.core.errors import NotFound
from rtaplatform.core.events import BEFORE_PROJECT, COLLECTED_HEADER
from rtaplatform.feed.event_items import DEAD
from rtaplatform.feed.letter_search import Letter, LetterQuestion, LetterSearch
from rtaplatform.stream.port import Partition, Replay, ReplayLog, TailRecord, is_origin

REPLAYED_MAX = 1_000  # letters of one call


class ReplayResult(StrEnum):
    REPLAYED = "replayed"
    INCOMPLETE = "incomplete"
    NOT_REPLAYABLE = "not_replayable"


DETAILS = {
    ReplayResult.REPLAYED: "Written again. It counts at most once, unless it is still wrong.",
    ReplayResult.INCOMPLETE: "Only its beginning is kept.",
    ReplayResult.NOT_REPLAYABLE: "It names no project, or it is an event that the collector refused: send it again.",
}


class ReplayedLetter(Struct, frozen=True):
    """What became of one letter."""

    id: str
    result: ReplayResult
    detail: str


class LetterReplay:
    """Errors: `Unavailable`; then letters may have been written or not, and the call may be repeated."""

    def __init__(self, search: LetterSearch, log: ReplayLog) -> None:
        self._search, self._log = search, log

    def replay_one(self, id: str, project: str | None) -> ReplayedLetter:
        """Raises NotFound."""
        return self._replay([self._search.find_one(id, project)])[0]

    def replay_all(self, question: LetterQuestion) -> list[ReplayedLetter]:
        """Replay the letters of a question, the oldest first; at most REPLAYED_MAX."""
        return self._replay(self._search.find(question).letters[::-1])

    def _replay(self, letters: Sequence[Letter]) -> list[ReplayedLetter]:
        records = self._search.load(DEAD, [letter.item.id for letter in letters if letter.kind == DEAD])
        results = [self._judge(letter, records.get(letter.item.id)) for letter in letters]
        letter_ids = [r.id for r in results if r.result is ReplayResult.REPLAYED]
        self._log.append(list(_make_replays(letter_ids, records)))
        return results

    @staticmethod
    def _judge(letter: Letter, record: TailRecord | None) -> ReplayedLetter:
        if letter.kind == DEAD and record is None:
            raise NotFound(f"The dead letter {letter.item.id} is gone.")
        if record is None or letter.reason in BEFORE_PROJECT or not is_origin(letter.item.id.encode()):
            result = ReplayResult.NOT_REPLAYABLE
        else:
            result = ReplayResult.INCOMPLETE if "rta-cut" in record.headers else ReplayResult.REPLAYED
        return ReplayedLetter(letter.item.id, result, DETAILS[result])


def _make_replays(ids: Iterable[str], records: dict[str, TailRecord]) -> Iterable[Replay]:
    for id in ids:
        topic, number, _offset = id.split(":")
        headers = records[id].headers
        replay_headers = {COLLECTED_HEADER: headers[COLLECTED_HEADER]} if COLLECTED_HEADER in headers else {}
        key, timestamp_ms = headers.get("rta-key", b""), int(headers.get("rta-timestamp", b"-1"))
        yield Replay(Partition(topic, int(number)), id, timestamp_ms, key, records[id].value, replay_headers)
