"""Cut a batch's body into its members and events, each as it was sent, even if not all of it is JSON.   Pure.

One unreadable event must not cost the others. Only strings and brackets are scanned: a comma outside of them ends an
event. An event that lacks a bracket or a quote swallows its neighbours. It is ended where the next object begins with a
name that events begin with. Limits: BATCH_EVENTS_MAX events, STEPS_MAX steps, RESCUED_BYTES_MAX scanned again for such
events. Steps are short, so that a thread that cuts a body lets other threads run. Raises `UnreadableBody`.
"""

from __future__ import annotations

import re
from typing import Never

import msgspec
from msgspec import Raw, Struct

from rtaplatform.core.errors import UnreadableBody
from rtaplatform.core.events import BATCH_EVENTS_MAX, Reason

STEPS_MAX = 100_000
RESCUED_BYTES_MAX = 4 << 20
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?'
_TO_BRACKET = re.compile(rb'(?:[^"\[\]{}]++|' + _STRING + rb"){0,10000}+([\[\]{}])?", re.DOTALL)
_TO_COMMA = re.compile(rb'(?:[^"\[\]{},]++|' + _STRING + rb"){0,10000}+([\[\]{},])?", re.DOTALL)
_KEY = re.compile(rb'\s*"([^"\\]*)"\s*:\s*')
_END_OF_LIST = re.compile(rb'\s*(?:\}\s*\Z|,\s*(?:\}\s*\Z|"[^"\\]*"\s*:))')
_LIST_ENDS = re.compile(rb"\](?=" + _END_OF_LIST.pattern + rb")")
_OPENS = {b"]": b"[", b"}": b"{"}
_decode = msgspec.json.Decoder(Raw).decode


class EventListForm(Struct, frozen=True):
    """How the bodies of a protocol look: the member that lists the events, and a comma before one of these events."""

    list_name: bytes
    next_event: re.Pattern[bytes]


class CutBatch(Struct):
    """`members`: the texts of the batch's fields except its list, whose elements are `events`; None if it is absent."""

    members: dict[bytes, bytes]
    events: list[bytes] | None


def make_list_form(list_name: bytes, *names: bytes) -> EventListForm:
    """`names`: with which events begin."""
    return EventListForm(list_name, re.compile(rb',(?=\s*\{\s*"(?:%b)"\s*:)' % b"|".join(names)))


SEGMENT_BATCH = make_list_form(
    b"batch", b"type", b"event", b"messageId", b"anonymousId", b"userId", b"timestamp", b"originalTimestamp", b"sentAt",
    b"properties", b"context", b"traits", b"channel",
)  # fmt: skip


def make_too_many_events_error() -> UnreadableBody:
    return UnreadableBody(
        f"`batch` has more than {BATCH_EVENTS_MAX} events.", field="batch", allowed={"maxItems": BATCH_EVENTS_MAX},
        reason=Reason.INVALID_FIELD,
    )  # fmt: skip


def cut_batch(body: bytes, form: EventListForm = SEGMENT_BATCH) -> CutBatch:
    begin = len(body) - len(body.lstrip())
    if body[begin : begin + 1] != b"{":
        name = form.list_name.decode()
        raise UnreadableBody(
            f"The body is not a JSON object with `{name}`.",
            hint=f'Send {{"{name}": [one object for each event]}}, at most 4 MiB, gzipped or not.',
            reason=Reason.NOT_AN_OBJECT if is_json(body) else None,
        )
    return _Cutter(body, begin + 1, form).cut()


class _Cutter:
    def __init__(self, body: bytes, position: int, form: EventListForm) -> None:
        self._body, self._position, self._form = body, position, form
        self._steps, self._rescued_bytes = 0, 0

    def cut(self) -> CutBatch:
        batch = CutBatch({}, None)
        sign = b","
        while sign == b",":
            key = _KEY.match(self._body, self._position)
            begin = key.end() if key else self._position
            if key and key[1] == self._form.list_name and self._body[begin : begin + 1] == b"[":
                self._position = begin + 1
                batch.events = self._cut_events()
                begin = self._position
            sign = self._skip_value(closes=b"}")
            if key and key[1] != self._form.list_name:
                batch.members[key[1]] = self._body[begin : self._position - 1].strip()
        if self._body[self._position :].strip():
            raise UnreadableBody(f"Something follows the JSON object (byte {self._position}).")
        return batch

    def _cut_events(self) -> list[bytes]:
        events: list[bytes] = []
        sign = b","
        while sign == b",":
            event, sign = self._cut_event()
            if sign == b"," or event:  # nothing after a last comma is not an event
                events.append(event)
            if len(events) > BATCH_EVENTS_MAX:
                raise make_too_many_events_error()
        return events

    def _cut_event(self) -> tuple[bytes, bytes]:
        """Cut an event; return it and the sign after it."""
        begin = self._position
        try:
            sign = self._skip_value(closes=b"]")
            event = self._body[begin : self._position - 1].strip()
            end = self._position
            if is_json(event):
                return event, sign
        except UnreadableBody:
            event, sign, end = b"", b"", len(self._body)
        return self._rescue(begin, end) or (event, sign or self._fail(begin))

    def _rescue(self, begin: int, end: int) -> tuple[bytes, bytes] | None:
        """Cut an unreadable event without the neighbours that it has swallowed; None if there are none."""
        if self._rescued_bytes > RESCUED_BYTES_MAX:
            return None
        match = self._form.next_event.search(self._body, begin, end) or _LIST_ENDS.search(self._body, begin, end)
        if match is None:
            return None
        self._rescued_bytes += end - match.end()
        self._position = match.end()
        return self._body[begin : match.start()].strip(), match[0]

    def _skip_value(self, *, closes: bytes) -> bytes:
        """Skip past the comma that ends a value, or the bracket that closes its container; return that sign."""
        brackets: list[bytes] = []
        while True:
            sign = self._read_sign(_TO_BRACKET if brackets else _TO_COMMA)
            if sign == b",":
                return sign
            opens = _OPENS.get(sign)
            if opens is None:
                brackets.append(sign)
            elif opens in brackets:
                while brackets.pop() != opens:
                    pass
            elif sign == closes and (not brackets or _END_OF_LIST.match(self._body, self._position)):
                return sign
            elif brackets:
                brackets.pop()  # a bracket of the wrong kind closes it

    def _read_sign(self, pattern: re.Pattern[bytes]) -> bytes:
        while True:
            match = pattern.match(self._body, self._position)
            self._steps += 1
            if match is None or match.end() == self._position or self._steps > STEPS_MAX:
                self._fail(self._position)
            self._position = match.end()
            if match[1]:
                return match[1]

    def _fail(self, position: int) -> Never:
        raise UnreadableBody(f"The body is not JSON, or cut off (byte {position}).")


def is_json(text: bytes) -> bool:
    try:
        _decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return False
    return True
