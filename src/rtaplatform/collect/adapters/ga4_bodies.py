"""The body of a request of GA4's Measurement Protocol: its events, and what they share.   Pure.

What the request tells of its visitor becomes the context of all its events. Google reads `user_agent` only without
`device`, and `ip_override` only without `user_location`; here the second completes the first. user_data (hashed
addresses of persons, for advertising) is not stored.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct

from rtaplatform.collect.adapters.adapted_events import read_members_of, read_screen, read_text
from rtaplatform.collect.body.batch_cutting import cut_batch, is_json, make_list_form
from rtaplatform.collect.body.json_reading import repair, trim_white_space
from rtaplatform.collect.enrich.locations import make_location
from rtaplatform.collect.enrich.user_agents import PHONE, TV
from rtaplatform.core.errors import UnreadableBody
from rtaplatform.core.events import Reason

SHARED_BYTES_MAX = 2_048  # of an id or a time, which each event of the request repeats
_SHARED = ("client_id", "app_instance_id", "user_id", "timestamp_micros")
REPAIRED_BYTES_MAX = 256 << 10  # of a body with half surrogate pairs; Google takes bodies of up to 130 kB
_FORM = make_list_form(b"events", b"name", b"params", b"timestamp_micros")
_NULL = Raw(b"null")
_DEVICES = {"mobile": PHONE, "smart tv": TV, "connected tv": TV}


class Ga4Body(Struct):
    """The members of a request that are read, each as sent."""

    events: Raw = _NULL
    client_id: Raw = _NULL
    app_instance_id: Raw = _NULL
    user_id: Raw = _NULL
    timestamp_micros: Raw = _NULL
    user_properties: Raw = _NULL
    user_location: Raw = _NULL
    ip_override: Raw = _NULL
    device: Raw = _NULL
    user_agent: Raw = _NULL
    consent: Raw = _NULL

    def read_context(self) -> dict[str, Any]:
        """The context that the request gives to all of its events."""
        members = {"device": self.device, "user_location": self.user_location}
        device = read_members_of(members, "device")
        category = (read_text(device, "category") or "").lower()
        return {
            "ip": read_text({"ip": self.ip_override}, "ip"),
            "userAgent": read_text({"agent": self.user_agent}, "agent"),
            "locale": read_text(device, "language"),
            "screen": read_screen(read_text(device, "screen_resolution")),
            "os": {
                "name": read_text(device, "operating_system"), "version": read_text(device, "operating_system_version"),
            },
            "browser": {"name": read_text(device, "browser"), "version": read_text(device, "browser_version")},
            "device": {
                "type": _DEVICES.get(category, category) or None,
                "manufacturer": read_text(device, "brand"), "model": read_text(device, "model"),
            },
            "location": _read_location(read_members_of(members, "user_location")),
            "consent": read_members_of({"consent": self.consent}, "consent"),
        }  # fmt: skip


_MEMBERS = frozenset(Ga4Body.__struct_fields__) - {"events"}
_decode = msgspec.json.Decoder(Ga4Body).decode


def read_ga4_body(body: bytes) -> Ga4Body | None:
    """The members of a body; None if it is not JSON as a whole. Then the slower `cut_ga4_body` decides.

    Raises UnreadableBody if it has no list of events, or an id that is too long.
    """
    text = trim_white_space(body)
    read = _try_to_decode(text)
    if read is None and b"\\u" in text and len(text) <= REPAIRED_BYTES_MAX:
        read = _try_to_decode(repair(text))
    if read is None:
        return None
    if bytes(read.events)[:1] != b"[":
        raise _make_no_events_error()
    return _check_shared(read)


def cut_ga4_body(body: bytes) -> tuple[Ga4Body, list[bytes]]:
    """The members of a body that is not JSON as a whole, and its events. Raises what `read_ga4_body` raises.

    Other members that are not JSON are left out.
    """
    cut = cut_batch(trim_white_space(body), _FORM)
    if cut.events is None:
        raise _make_no_events_error()
    members = {name.decode(errors="replace"): Raw(text) for name, text in cut.members.items() if is_json(text)}
    return _check_shared(Ga4Body(**{name: members[name] for name in _MEMBERS & members.keys()})), cut.events


def is_given(raw: Raw) -> bool:
    return bytes(raw) not in (b"null", b'""', b"")


def _check_shared(read: Ga4Body) -> Ga4Body:
    for name in _SHARED:
        if len(getattr(read, name)) > SHARED_BYTES_MAX:
            raise UnreadableBody(
                f"`{name}` has more than {SHARED_BYTES_MAX} bytes.", field=name, reason=Reason.INVALID_FIELD
            )
    return read


def _make_no_events_error() -> UnreadableBody:
    return UnreadableBody("`events` is a list of events.", field="events", reason=Reason.INVALID_FIELD)


def _try_to_decode(text: bytes) -> Ga4Body | None:
    try:
        return _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _read_location(members: dict[str, Raw]) -> dict[str, Any]:
    region = read_text(members, "region_id") or ""
    location = make_location(read_text(members, "country_id") or region.partition("-")[0], region)
    return {"country": location.country or None, "region": location.region or None, "city": read_text(members, "city")}
