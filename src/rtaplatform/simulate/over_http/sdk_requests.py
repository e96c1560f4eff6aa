"""The requests of SDKs: single calls and batches.   simulate: sdk_outbox → [sdk_requests] → http_lane.

The forms are those of SDKs that exist: pages send single calls, batches as text, or beacons without a header; apps send
zipped batches that name their library once; servers send zipped batches of many persons. The key is in the Basic user
name, in the body, or in the query, as it is with them.
"""

from __future__ import annotations

import gzip
from base64 import b64encode
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote
from zlib import crc32

from rtaplatform.simulate.over_http.sdk_events import SdkEvent
from rtaplatform.simulate.over_http.user_agents import APPS
from rtaplatform.simulate.shop.records import encode, write_time

_PAGE_ORIGIN = "https://shop.example.com"
_CHROMIUM = {"Windows NT": "Windows", "Android": "Android", "X11": "Linux"}


class SdkRequest(NamedTuple):
    """The events of one request, in their order. `make_body` puts them into an envelope with the time of sending."""

    path: str
    headers: dict[str, str]
    events: Sequence[SdkEvent]
    is_batch: bool = True
    fields: bytes = b""  # of the batch or the event, each with a comma before it

    @property
    def person(self) -> str:
        """Whose requests keep their order."""
        return self.events[0].person if self.events[0].source != "server" else "server"

    def make_body(self, now_ms: int) -> bytes:
        """Return the body as it is sent now: its `sentAt` is that of this try, its messageIds are those of each."""
        tail = b',"sentAt":"%s"%s}' % (write_time(now_ms).encode(), self.fields)
        if not self.is_batch:
            return self.events[0].body[:-1] + tail
        body = b'{"batch":[%s]%s' % (b",".join(event.body for event in self.events), tail)
        return gzip.compress(body, 1) if "Content-Encoding" in self.headers else body


def make_requests(events: Sequence[SdkEvent], write_key: str) -> list[SdkRequest]:
    """Return the requests of events that one device, or the shop's server, sends at once."""
    if events[0].source == "server":
        return [
            SdkRequest("/v1/batch", {**_make_zipped_headers(events[0].agent), **_make_basic_header(write_key)}, events)
        ]
    if events[0].source == "web":
        return _make_page_requests(events, write_key)
    library = {"library": {"name": APPS[events[0].source].library, "version": "1.6.2"}}
    fields = b',"context":%s%s' % (encode(library), _write_key_field(write_key))
    return [SdkRequest("/v1/batch", _make_zipped_headers(events[0].agent), events, fields=fields)]


def _make_page_requests(events: Sequence[SdkEvent], write_key: str) -> list[SdkRequest]:
    headers = _make_browser_headers(events[0])
    style = crc32(events[0].person.encode()) % 3
    if style == 0:
        paths = (f"/v1/{event.type[0]}" for event in events)
        headers |= _make_basic_header(write_key)
        return [
            SdkRequest(path, headers, [event], is_batch=False, fields=_write_key_field(write_key))
            for path, event in zip(paths, events, strict=True)
        ]
    if style == 1:
        return [SdkRequest("/v1/b", headers | _make_basic_header(write_key), events)]
    return [
        SdkRequest(f"/beacon/v1/batch?writeKey={quote(write_key)}", headers | {"Sec-Fetch-Mode": "no-cors"}, events)
    ]


def _make_browser_headers(event: SdkEvent) -> dict[str, str]:
    headers = {
        "User-Agent": event.agent,
        "Content-Type": "text/plain;charset=UTF-8",
        "Origin": _PAGE_ORIGIN,
        "Sec-Fetch-Mode": "cors",
    }
    if event.language:
        headers["Accept-Language"] = f"{event.language},{event.language[:2]};q=0.9,*;q=0.1"
    if " Chrome/" in event.agent and "compatible" not in event.agent:
        headers["Sec-CH-UA-Mobile"] = "?1" if " Mobile " in event.agent else "?0"
        headers["Sec-CH-UA-Platform"] = next(f'"{name}"' for word, name in _CHROMIUM.items() if word in event.agent)
    return headers


def _make_zipped_headers(agent: str) -> dict[str, str]:
    return {"User-Agent": agent, "Content-Type": "application/json", "Content-Encoding": "gzip"}


def _make_basic_header(write_key: str) -> dict[str, str]:
    return {"Authorization": f"Basic {b64encode(f'{write_key}:'.encode()).decode()}"}


def _write_key_field(write_key: str) -> bytes:
    return b',"writeKey":%s' % encode(write_key)
