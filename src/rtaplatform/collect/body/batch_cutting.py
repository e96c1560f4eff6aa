"""A batch's body → its members and its events, each as it was sent, whether or not all of it is JSON.   Pure.

One event that cannot be read must not cost the others. Only strings and brackets are looked at: a comma outside of
them ends an event. What swallows its neighbours, for a bracket or a quote is missing in it, ends where the next
object begins with a name that events begin with.
Bounded: BATCH_EVENTS_MAX events, STEPS_MAX steps, RESCUED_BYTES_MAX read again for those; a step is short, so that a
thread that cuts lets others have their turn. Raises `UnreadableBody`.
"""

from __future__ import annotations

import re
from typing import Never

import msgspec
from msgspec import Raw, Struct

from rtaplatform.core.errors import UnreadableBody
from rtaplatform.core.events import BATCH_EVENTS_MAX

STEPS_MAX = 100_000
RESCUED_BYTES_MAX = 4 << 20
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?'
_TO_BRACKET = re.compile(rb'(?:[^"\[\]{}]++|' + _STRING + rb"){0,10000}+([\[\]{}])?", re.DOTALL)
_TO_COMMA = re.compile(rb'(?:[^"\[\]{},]++|' + _STRING + rb"){0,10000}+([\[\]{},])?", re.DOTALL)
_KEY = re.compile(rb'\s*"([^"\\]*)"\s*:\s*')
_NEXT_EVENT = re.compile(
    rb",(?=\s*\{\s*"
    rb'"(?:type|event|messageId|anonymousId|userId|timestamp|originalTimestamp|sentAt|properties|context|traits|channel)"'
    rb"\s*:)"
)
_END_OF_LIST = re.compile(rb'\s*(?:\}\s*\Z|,\s*(?:\}\s*\Z|"[^"\\]*"\s*:))')
_LIST_ENDS = re.compile(rb"\](?=" + _END_OF_LIST.pattern + rb")")
_OPENS = {b"]": b"[", b"}": b"{"}
_decode = msgspec.json.Decoder(Raw).decode


class CutBatch(Struct):
    """`members` are the texts of the batch's own fields but `batch`, whose elements are `events`; None: it has none."""

    members: dict[bytes, bytes]
    events: list[bytes] | None


def too_many_events() -> UnreadableBody:
    return UnreadableBody(
        f"The batch has more than {BATCH_EVENTS_MAX} events.", field="batch", allowed={"maxItems": BATCH_EVENTS_MAX}
    )


def cut_batch(body: bytes) -> CutBatch:
    begin = len(body) - len(body.lstrip())
    if body[begin : begin + 1] != b"{":
        raise UnreadableBody("The body is not a JSON object.")
    return _Cutter(body, begin + 1).cut()


class _Cutter:
    def __init__(self, body: bytes, at: int) -> None:
        self._body, self._at, self._steps, self._rescued_bytes = body, at, 0, 0

    def cut(self) -> CutBatch:
        found = CutBatch({}, None)
        sign = b","
        while sign == b",":
            key = _KEY.match(self._body, self._at)
            begin = key.end() if key else self._at
            if key and key[1] == b"batch" and self._body[begin : begin + 1] == b"[":
                self._at = begin + 1
                found.events = self._cut_events()
                begin = self._at
            sign = self._skip_value(closes=b"}")
            if key and key[1] != b"batch":
                found.members[key[1]] = self._body[begin : self._at - 1].strip()
        if self._body[self._at :].strip():
            raise UnreadableBody(f"Something follows the JSON object (byte {self._at}).")
        return found

    def _cut_events(self) -> list[bytes]:
        events: list[bytes] = []
        sign = b","
        while sign == b",":
            event, sign = self._cut_event()
            if sign == b"," or event:  # nothing after the last comma is no event
                events.append(event)
            if len(events) > BATCH_EVENTS_MAX:
                raise too_many_events()
        return events

    def _cut_event(self) -> tuple[bytes, bytes]:
        """An event, and the sign behind it."""
        begin = self._at
        try:
            sign = self._skip_value(closes=b"]")
            event = self._body[begin : self._at - 1].strip()
            end = self._at
            if _is_json(event):
                return event, sign
        except UnreadableBody:
            event, sign, end = b"", b"", len(self._body)
        return self._rescue(begin, end) or (event, sign or self._fail(begin))

    def _rescue(self, begin: int, end: int) -> tuple[bytes, bytes] | None:
        """An event that cannot be read, without the neighbours that it has swallowed; None: it has none."""
        if self._rescued_bytes > RESCUED_BYTES_MAX:
            return None
        found = _NEXT_EVENT.search(self._body, begin, end) or _LIST_ENDS.search(self._body, begin, end)
        if found is None:
            return None
        self._rescued_bytes += end - found.end()
        self._at = found.end()
        return self._body[begin : found.start()].strip(), found[0]

    def _skip_value(self, *, closes: bytes) -> bytes:
        """Go on behind the comma that ends a value, or the bracket that closes what holds it; says which."""
        opened: list[bytes] = []
        while True:
            sign = self._next_sign(_TO_BRACKET if opened else _TO_COMMA)
            if sign == b",":
                return sign
            opens = _OPENS.get(sign)
            if opens is None:
                opened.append(sign)
            elif opens in opened:
                while opened.pop() != opens:
                    pass
            elif sign == closes and (not opened or _END_OF_LIST.match(self._body, self._at)):
                return sign
            elif opened:
                opened.pop()  # the wrong bracket closes it

    def _next_sign(self, pattern: re.Pattern[bytes]) -> bytes:
        while True:
            found = pattern.match(self._body, self._at)
            self._steps += 1
            if found is None or found.end() == self._at or self._steps > STEPS_MAX:
                self._fail(self._at)
            self._at = found.end()
            if found[1]:
                return found[1]

    def _fail(self, at: int) -> Never:
        raise UnreadableBody(f"The body is not JSON, or cut off (byte {at}).")


def _is_json(text: bytes) -> bool:
    try:
        _decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return False
    return True
