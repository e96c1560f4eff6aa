"""The bodies that PostHog's SDKs send: one event, a list of events, or a batch, as JSON or as a form.   Pure.

A form has the JSON in `data`, in base64, so that a beacon needs no preflight. Where the key is: `api_key` or `token` of
the body, else of the first event, else of that event's properties.
"""

from __future__ import annotations

import base64
import binascii
from urllib.parse import parse_qs

import msgspec
from msgspec import Raw, Struct

from rtaplatform.collect.adapters.adapted_events import AdaptedEvents, read_members_of, read_text
from rtaplatform.collect.adapters.posthog import adapt_posthog
from rtaplatform.collect.body.envelope import EventBatch
from rtaplatform.collect.body.json_reading import trim_white_space
from rtaplatform.collect.body.write_keys import find_write_keys
from rtaplatform.core.errors import UnreadableBody, UnsupportedEncoding

_FORM = b"data="
_FIELDS_MAX = 20
_KEYS = ("api_key", "token")
_ABSENT, _NULL = Raw(b""), Raw(b"null")


class _PostHogEnvelope(Struct):
    """The members of a body that is an object."""

    batch: Raw = _ABSENT
    api_key: Raw = _NULL
    token: Raw = _NULL
    sent_at: Raw = _NULL
    properties: Raw = _NULL


class _FirstOfList(Struct, array_like=True):
    first: Raw = Raw(b"{}")


_decode_envelope = msgspec.json.Decoder(_PostHogEnvelope).decode
_decode_list = msgspec.json.Decoder(_FirstOfList).decode


def open_body(body: bytes, compression: str | None) -> bytes:
    """The JSON of a body. `compression` is the query's parameter. Raises UnreadableBody, UnsupportedEncoding."""
    if compression == "lz64":
        raise UnsupportedEncoding(
            "The body is compressed by `lz64`.", field="compression", allowed=["gzip-js", "base64"],
            hint="Update the SDK: since 2021 it sends gzip.",
        )  # fmt: skip
    text = trim_white_space(body)
    if text.startswith(_FORM):
        try:
            text = (
                parse_qs(text.decode("latin-1"), max_num_fields=_FIELDS_MAX)
                .get("data", [""])[0]
                .encode("latin-1", "replace")
            )
        except ValueError:
            raise UnreadableBody(f"The form has more than {_FIELDS_MAX} fields.") from None
    if text.lstrip()[:1] in (b"{", b"[", b""):
        return text.lstrip()
    try:
        return trim_white_space(base64.b64decode(text.replace(b" ", b"+"), validate=True)).lstrip()
    except binascii.Error:
        raise UnreadableBody("The body is neither JSON nor base64.", field="data") from None


def find_posthog_keys(body: bytes) -> list[str]:
    """The key that a body names. A batch that is no JSON as a whole is searched as text."""
    envelope = _read_envelope(body)
    if envelope is None:
        return find_write_keys(body)
    root = {"api_key": envelope.api_key, "token": envelope.token}
    places = (root, read_members_of({"properties": envelope.properties}, "properties"))
    return [key for place in places for name in _KEYS if (key := read_text(place, name)) is not None][:1]


def frame_batch(body: bytes) -> bytes | None:
    """The body as an object with a `batch`; None if it is one event."""
    if body[:1] == b"[":
        return b'{"batch":%b}' % body
    envelope = _read_envelope(body)
    has_batch = b'"batch"' in body if envelope is None else bytes(envelope.batch) != b""
    return body if has_batch else None


def adapt_single(body: bytes) -> EventBatch:
    return EventBatch(AdaptedEvents([body], adapt_posthog), sent_at=_read_sent_at(body))


def adapt_batch(batch: EventBatch, body: bytes) -> EventBatch:
    """The batch with its events adapted. `body` has the time at which it was sent."""
    return EventBatch(AdaptedEvents(batch.events, adapt_posthog), sent_at=_read_sent_at(body))


def _read_sent_at(body: bytes) -> str | None:
    envelope = None if body[:1] == b"[" else _read_envelope(body)
    return read_text({"sent_at": envelope.sent_at}, "sent_at") if envelope is not None else None


def _read_envelope(body: bytes) -> _PostHogEnvelope | None:
    """The envelope of an object, or of the first event of a list; None if it is no JSON."""
    try:
        return _decode_envelope(_decode_list(body).first if body[:1] == b"[" else body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
