"""Find dead letters and refused events, newest first, by reading the end of their topics.   stream → [feed] → serve.

Each question reads at most SCANNED_MAX records of every partition, in a thread, one reading at a time, and keeps what
it has read for FRESH_S. So it costs the same however large the topic is. What is older than that is not found, and the
answer says from when on it looked.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct

from rtaplatform.core.errors import NotFound, Unavailable
from rtaplatform.core.time.timestamps import format_iso_utc
from rtaplatform.feed.event_items import DEAD, REJECTED, FeedItem, read_letter
from rtaplatform.stream.port import Partition, RecordTail, TailRecord

SCANNED_MAX = 5_000
VALUE_BYTES_KEPT = 8_192
READ_SECONDS_MAX = 10.0
FRESH_S = 2.0
KINDS = (DEAD, REJECTED)
ALWAYS_MS = 1 << 62


class Letter(Struct, frozen=True):
    """A dead letter or a refused event. `written_ms`: when it became one. `item.id` is its origin, or its place."""

    kind: str
    project: str
    reason: str
    written_ms: int
    item: FeedItem


class LetterQuestion(Struct, frozen=True):
    """Which letters. `project` None: of all, also of unknown ones. Times are in milliseconds since 1970."""

    kind: str
    project: str | None
    reason: str | None = None
    from_ms: int = 0
    to_ms: int = ALWAYS_MS
    before: tuple[int, str] | None = None  # only letters after this one in the order of the list
    limit: int = 50


class LetterPage(Struct, frozen=True):
    """`counts`: letters by reason, of the period and project, whatever `reason` and `limit` say.

    `scanned_from`: older letters were not looked at; None if all that exist were.
    """

    letters: list[Letter]
    counts: dict[str, int]
    has_more: bool
    scanned_from: str | None


class LetterScan(Struct, frozen=True):
    """What one reading has found, newest first."""

    letters: list[Letter]
    scanned_from: str | None
    read_at: float


class LetterSearch:
    """Thread-safe. `tails`: for each kind, the tail of its topic. Errors: `Unavailable`."""

    def __init__(self, tails: Mapping[str, RecordTail], clock: Callable[[], float] = time.monotonic) -> None:
        self._tails, self._clock = tails, clock
        self._scans: dict[str, LetterScan] = {}
        self._reading = threading.Lock()

    def find(self, question: LetterQuestion) -> LetterPage:
        scan = self._scan(question.kind)
        letters = [
            letter
            for letter in scan.letters
            if question.project in (None, letter.project) and question.from_ms <= letter.written_ms < question.to_ms
        ]
        counts = Counter(letter.reason for letter in letters)
        of_reason = [letter for letter in letters if question.reason in (None, letter.reason)]
        before = question.before
        candidates = [letter for letter in of_reason if before is None or find_place(letter) < before]
        return LetterPage(
            candidates[: question.limit],
            dict(counts.most_common()),
            len(candidates) > question.limit,
            scan.scanned_from,
        )

    def find_one(self, id: str, project: str | None) -> Letter:
        """Raises NotFound, also for a letter of another project."""
        for kind in KINDS:
            for letter in self._scan(kind).letters:
                if letter.item.id == id and project in (None, letter.project):
                    return letter
        raise NotFound(
            f"There is no dead letter {id[:300]!r}.", field="id", hint="GET /v1/dead-letters lists the newest."
        )

    def load(self, kind: str, ids: Iterable[str]) -> dict[str, TailRecord]:
        """The letters with these ids as they are in the topic, whole."""
        letter_ids = frozenset(ids)
        records: dict[str, TailRecord] = {}

        def keep(record: TailRecord) -> None:
            id = _make_letter_id(record)
            if id in letter_ids:
                records[id] = record

        if letter_ids:
            with self._reading:
                self._follow(kind, keep)
        return records

    def _scan(self, kind: str) -> LetterScan:
        with self._reading:
            scan = self._scans.get(kind)
            if scan is None or self._clock() - scan.read_at > FRESH_S:
                scan = self._scans[kind] = self._read(kind)
            return scan

    def _read(self, kind: str) -> LetterScan:
        letters: dict[str, Letter] = {}
        counts: Counter[Partition] = Counter()
        oldest_ms: dict[Partition, int] = {}

        def keep(record: TailRecord) -> None:
            counts[record.partition] += 1
            oldest_ms.setdefault(record.partition, record.timestamp_ms)
            letters[_make_letter_id(record)] = read_as_letter(record, kind)  # a later copy replaces an earlier one

        self._follow(kind, keep)
        cut = [oldest_ms[partition] for partition, count in counts.items() if count >= SCANNED_MAX]
        newest_first = sorted(letters.values(), key=find_place, reverse=True)
        return LetterScan(newest_first, format_iso_utc(max(cut)) if cut else None, self._clock())

    def _follow(self, kind: str, keep: Callable[[TailRecord], None]) -> None:
        """Read the end of the topic, in order within each partition."""
        tail, deadline = self._tails[kind], self._clock() + READ_SECONDS_MAX
        try:
            tail.open(SCANNED_MAX)
            is_at_end = False
            while not is_at_end:
                portion = tail.poll(0.2)
                is_at_end = portion.is_at_end
                for record in portion.records:
                    keep(record)
                if self._clock() > deadline and not is_at_end:
                    raise Unavailable("kafka", "does not give the dead letters in time")
        finally:
            tail.close()


def _make_letter_id(record: TailRecord) -> str:
    origin = record.headers.get("rta-origin")
    return origin.decode(errors="replace") if origin else record.id


def find_place(letter: Letter) -> tuple[int, str]:
    """The letter's place in the order of lists."""
    return letter.written_ms, letter.item.id


def read_as_letter(record: TailRecord, kind: str) -> Letter:
    shortened_record = TailRecord(
        record.partition, record.offset, record.timestamp_ms, record.key, record.value[:VALUE_BYTES_KEPT],
        record.headers | ({"rta-cut": b"here"} if len(record.value) > VALUE_BYTES_KEPT else {}),
    )  # fmt: skip
    header = record.headers.get
    project, reason = header("rta-project", b""), header("rta-reason", b"")
    return Letter(
        kind, project.decode(errors="replace"), reason.decode(errors="replace"), record.timestamp_ms,
        read_letter(shortened_record, kind),
    )  # fmt: skip


def describe_letter(letter: Letter) -> dict[str, object]:
    """The letter as the API and the command line show it."""
    item = letter.item
    problem = item.problem
    return {
        "id": item.id,
        "kind": letter.kind,
        "reason": letter.reason,
        "detail": problem.detail if problem else "",
        "field": problem.field if problem else None,
        "hint": problem.hint if problem else None,
        "project": letter.project or None,
        "written_at": format_iso_utc(max(letter.written_ms, 0)),
        "received_at": item.received_at,
        "event": item.event,
        "source": item.source,
        "persons": item.persons,
        "raw": item.raw,
        "is_raw_cut": item.is_raw_cut,
    }


FIELDS_OF_LETTER: Sequence[str] = (
    "id", "kind", "reason", "detail", "field", "hint", "project", "written_at", "received_at", "event", "source",
    "persons", "raw", "is_raw_cut",
)  # fmt: skip
