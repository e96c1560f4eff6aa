"""Keep what the collector refuses, for its owner to look at: no SDK tells its user.   Stage 1 of 6: [collect] → stream.

A refused event goes to the topic `rta.rejected`, with its reason. This is best effort and bounded: a budget of letters
a second, a producer of its own with a small queue. It never waits. Whatever does not fit, or what Kafka does not take
in time, is dropped and counted. So a refused event is kept by no more than chance while Kafka hangs, and collecting
never notices.

The first KEPT_BYTES of the event are kept, without addresses and denied properties. If that cannot be done with
certainty, as for text that is not JSON, the values behind these names are blanked by their form. So are those of a text
that is larger than an event may be: to look at all values of a body would block the event loop.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import lru_cache
from typing import Any

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from rtaplatform import telemetry
from rtaplatform.collect.body.draft import Draft, DraftRefused
from rtaplatform.core.events import EVENT_BYTES_MAX, REJECTED_TOPIC

KEPT_BYTES = 2_048
LETTERS_A_SECOND = 500
LETTERS_A_SECOND_OF_PROJECT = 100
DETAIL_CHARACTERS_MAX = 500
ROUTE_CHARACTERS_MAX = 100
CONFIG: dict[str, Any] = {
    "enable.idempotence": False,  # without it there are no fatal errors
    "delivery.timeout.ms": 10_000,
    "queue.buffering.max.messages": 2_000,
    "queue.buffering.max.kbytes": 8_192,
    "linger.ms": 100,
}
STOP_SECONDS = 1.0
# Addresses: ours, and those of PostHog and of GA4's Measurement Protocol; `user_data` has hashes of them.
ADDRESS_NAMES = ("ip", "$ip", "ip_override", "user_data")
REMOVED = b'"(removed)"'
FORM_BYTES_MAX = 4 * KEPT_BYTES  # looked at where values are found by their form
_FLAT = rb'(?:[^\[\]{}"]|"(?:[^"\\]|\\.)*+")*+'  # what is in a list or an object that holds no other one
_SIMPLE_VALUE = (
    rb'(?:"(?:[^"\\]|\\.)*+"?|\'(?:[^\'\\]|\\.)*+\'?|\[' + _FLAT + rb"\]|\{" + _FLAT + rb"\}|[^,}\]\s\[{&]++)"
)


class LetterBudget:
    """How many letters are kept in this second, in all and of each project."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now, self._second = now, 0
        self._projects: Counter[str] = Counter()
        self._total = 0

    def take(self, project: str) -> bool:
        second = int(self._now())
        if second != self._second:
            self._second, self._total = second, 0
            self._projects.clear()
        if self._total >= LETTERS_A_SECOND or self._projects[project] >= LETTERS_A_SECOND_OF_PROJECT:
            return False
        self._total += 1
        self._projects[project] += 1
        return True


class RejectedEvents:
    """The producer for `rta.rejected`. It is made with the first refused event. Use it from one event loop."""

    def __init__(
        self, make: Callable[[dict[str, Any]], Producer], config: dict[str, Any], budget: LetterBudget | None = None
    ) -> None:
        self._make, self._config = make, config | CONFIG
        self._budget = budget or LetterBudget()
        self._producer: Producer | None = None

    def keep(self, refusals: Iterable[tuple[Draft, DraftRefused]]) -> None:
        """Hand refused events to the producer. Never waits and never raises."""
        self._take_reports()
        for draft, refusal in refusals:
            if self._budget.take(draft.request.project):
                self._produce(draft, refusal)
            else:
                telemetry.COLLECT_REJECTED_LETTERS.labels("over_budget").inc()
        self._take_reports()

    async def stop(self) -> None:
        """Send what is waiting, for a moment; drop the rest."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await asyncio.to_thread(producer.flush, STOP_SECONDS)
            producer.purge()

    def _take_reports(self) -> None:
        """Take delivery reports: an event leaves the queue with its report."""
        if self._producer is not None:
            self._producer.poll(0)

    def _produce(self, draft: Draft, refusal: DraftRefused) -> None:
        value, is_cut = shorten_text(draft.raw, draft.request.denied)
        try:
            if self._producer is None:
                self._producer = self._make(self._config)
            self._producer.produce(
                REJECTED_TOPIC,
                key=draft.request.project.encode(),
                value=value,
                timestamp=draft.request.received_ms,
                headers=_make_headers(draft, refusal, is_cut=is_cut),
                on_delivery=_count_delivery,
            )
        except (BufferError, KafkaException):
            telemetry.COLLECT_REJECTED_LETTERS.labels("queue_full").inc()


def shorten_text(raw: bytes, denied_names: frozenset[str]) -> tuple[bytes, bool]:
    """The beginning of an event without addresses and denied properties, and whether it was cut."""
    names = frozenset((*ADDRESS_NAMES, *denied_names))
    # As many values as a body may have take seconds to be looked at.
    text = _remove_members(raw, names) if len(raw) <= EVENT_BYTES_MAX else _remove_by_form(raw, names)
    # Half a character at the end would not be UTF-8.
    beginning = text if len(text) <= KEPT_BYTES else text[:KEPT_BYTES].decode(errors="ignore").encode()
    return beginning, len(raw) > KEPT_BYTES


def _remove_members(raw: bytes, names: frozenset[str]) -> bytes:
    """The text without these members. It is as sent if it is JSON without them."""
    with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        value = msgspec.json.decode(raw)
        new_value = _prune(value, names)
        return raw if new_value == value else msgspec.json.encode(new_value)
    return _remove_by_form(raw, names)


def _remove_by_form(raw: bytes, names: frozenset[str]) -> bytes:
    """The beginning of a text that may not be JSON: names may have escapes, other quotes, or none."""
    name_pattern = _make_name_pattern(names)
    text = re.sub(rb"(%b)%b" % (name_pattern, _SIMPLE_VALUE), rb"\1" + REMOVED, raw[:FORM_BYTES_MAX])
    # Where a nested value ends cannot be told in such a text: nothing is kept from there on.
    nested_value = re.search(name_pattern + rb"[\[{]", text)
    return text if nested_value is None else text[: nested_value.start()]


@lru_cache(maxsize=256)
def _make_name_pattern(names: frozenset[str]) -> bytes:
    """What stands before the value of one of these names."""
    any_name = b"|".join(b"".join(map(_make_character_pattern, name)) for name in sorted(names, key=len, reverse=True))
    return rb"(?<![\w$])[\"']?(?:%b)[\"']?\s*[:=]\s*" % any_name


def _make_character_pattern(character: str) -> bytes:
    """A character as it is, or as a JSON escape."""
    units = character.encode("utf-16-be", "surrogatepass").hex()
    escape = b"".join(rb"\\u(?i:%b)" % units[at : at + 4].encode() for at in range(0, len(units), 4))
    return rb"(?:%b|%b)" % (re.escape(character.encode(errors="surrogatepass")), escape)


def _prune(value: Any, names: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {name: _prune(member, names) for name, member in value.items() if name not in names}
    return [_prune(member, names) for member in value] if isinstance(value, list) else value


def _make_headers(draft: Draft, refusal: DraftRefused, *, is_cut: bool) -> list[tuple[str, str | bytes | None]]:
    texts = {
        "rta-project": draft.request.project,
        "rta-reason": str(refusal.reason),
        "rta-field": refusal.field or "",
        "rta-detail": refusal.detail[:DETAIL_CHARACTERS_MAX],
        "rta-source": draft.source,
        "rta-route": draft.request.route[:ROUTE_CHARACTERS_MAX],
        "rta-message-id": refusal.message_id or "",
        "rta-cut": f"{len(draft.raw)} bytes" if is_cut else "",
    }
    return [(name, text.encode(errors="replace")) for name, text in texts.items() if text]


def _count_delivery(error: KafkaError | None, _message: Message) -> None:
    telemetry.COLLECT_REJECTED_LETTERS.labels("kept" if error is None else "undelivered").inc()
