"""What all adapters share: an event of another protocol, read member by member, becomes the text of one of ours.

Pure.   Stage 1 of 6, in front of the steps. Members are passed on as they were written, so that numbers keep their
digits. An event that cannot be read is passed on as sent: the steps refuse it, and say why.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Raw

from rtaplatform.collect.body.json_reading import UnreadableJson, decode
from rtaplatform.collect.body.senders import find_sender
from rtaplatform.core.events import EVENT_BYTES_MAX

Members = Mapping[str, Any]  # an object's members: as sent (`Raw`), or made here
Adapt = Callable[[bytes], bytes | None]
SMALL_TEXT_BYTES_MAX = 8_192
ENGAGED_SECONDS_MIN = 10  # as our own tracker sends it: less is no reading
_decode_object = msgspec.json.Decoder(dict[str, Raw])
_decode_value: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
_encode = msgspec.json.Encoder().encode


class AdaptedEvents(Sequence[bytes]):
    """Events that are adapted one by one, while the collector takes them. None of `adapt` means: not to be stored.

    `sender` is a text with the ids of the person of all events, where the events themselves do not name it.
    After the last one, `indexes` has the place of each stored event in the batch as sent, and `left_out` counts the
    others.
    """

    def __init__(self, foreign_events: Sequence[Raw | bytes], adapt: Adapt, sender: bytes | None = None) -> None:
        self._foreign_events, self._adapt, self._sender = foreign_events, adapt, sender
        self.indexes: list[int] = []
        self.left_out = 0

    def __len__(self) -> int:
        return len(self._foreign_events)

    def find_sender(self) -> str | None:
        """The person whose events they are, if they are those of one."""
        if self._sender is not None:
            return find_sender(self._sender, self._sender)
        return find_sender(self._foreign_events[0], self._foreign_events[-1]) if self._foreign_events else None

    def __getitem__(self, index: Any) -> Any:
        raise TypeError("adapted events are read once, in order")

    def __iter__(self) -> Iterator[bytes]:
        for index, raw in enumerate(self._foreign_events):
            adapted = self._adapt(bytes(raw))
            if adapted is None:
                self.left_out += 1
            else:
                self.indexes.append(index)
                yield adapted


def read_members(raw: Any) -> dict[str, Raw] | None:
    """The members of an object's text, each as sent; None if it is no readable object of an event's size."""
    text = bytes(raw) if isinstance(raw, Raw | bytes) else b""
    if not text or len(text) > EVENT_BYTES_MAX:
        return None
    try:
        return decode(text, _decode_object)
    except UnreadableJson:
        return None


def read_members_of(members: Members, name: str) -> dict[str, Raw]:
    """The members of the object `name`; none if it is absent or no object. Text that holds an object is read too."""
    raw = members.get(name)
    text = read_text(members, name)
    if text is not None and text[:1] == "{":
        return read_members(text.encode(errors="replace")) or {}
    return read_members(raw) or {}


def read_value(members: Members, name: str) -> Any:
    """The value of a small member; None if it is absent, large or unreadable."""
    raw = members.get(name)
    text = bytes(raw) if isinstance(raw, Raw | bytes) else b""
    if not text or len(text) > SMALL_TEXT_BYTES_MAX or text[:1] in b"[{":
        return None
    try:
        return decode(text, _decode_value)
    except UnreadableJson:
        return None


def read_text(members: Members, name: str) -> str | None:
    """The text of a member; None if it is absent, empty or no text."""
    value = read_value(members, name)
    return value if isinstance(value, str) and value else None


def read_number(members: Members, name: str) -> float | None:
    """The number of a member; None if it is absent, no number, or beyond what a float can hold."""
    value = read_value(members, name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def write_event(members: Members) -> bytes:
    """The text of an event, without members that are None or empty objects."""
    return _encode(_without_nothing(members))


def make_page(
    address: str | None, referrer: str | None = None, title: str | None = None, **more: Any
) -> dict[str, Any]:
    """`context.page` of a full address, with its path and query."""
    parts: dict[str, Any] = {"url": address, "referrer": referrer, "title": title, **more}
    if address is not None:
        try:
            split = urlsplit(address)
        except ValueError:
            return parts
        parts["path"] = split.path or "/"
        parts["search"] = f"?{split.query}" if split.query else None
    return parts


def read_screen(size: str | None) -> dict[str, int]:
    """`context.screen` of a size as 1920x1080; empty if it is none."""
    width, _, height = (size or "").partition("x")
    return {"width": int(width), "height": int(height)} if _is_size(width) and _is_size(height) else {}


def _is_size(text: str) -> bool:
    return text.isdecimal() and text.isascii() and len(text) <= 6


def _without_nothing(members: Members) -> dict[str, Any]:
    values = {name: _without_nothing(value) if isinstance(value, dict) else value for name, value in members.items()}
    return {name: value for name, value in values.items() if value is not None and value != {}}


def quote_text(text: str) -> Raw:
    """Write text as a JSON string."""
    return Raw(json.dumps(text).encode())
