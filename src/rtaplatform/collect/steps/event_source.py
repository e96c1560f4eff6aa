"""Where an event comes from: web, ios, android or server.   Pure.

The first of these rules that gives an answer decides:

1. the event's own `source`, if it is one of the four;
2. the library (`context.library.name`): the browser SDKs are web, those of Apple and Android are ios and
   android, those of server languages are server, for libraries of several mobile systems, rule 4 decides;
3. Rudder's `channel`: web or server; for mobile, rule 4 decides;
4. the system (`context.device.type`, else `context.os.name`), for mobile libraries and channels, or if rules 2
   and 3 gave no answer;
5. a request that a browser sent (`Origin` or `Sec-Fetch-Mode`), or an event with `context.page.url`: web;
6. server.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from rtaplatform.core.events import SOURCES

LIBRARY_CHARACTERS_MAX, LIBRARIES_CACHED_MAX = 256, 1_024
_BY_LIBRARY = (
    (re.compile(r"analytics[.-]js|javascript|browser|^ajs|analytics-next|consent-wrapper"), "web"),
    (re.compile(r"react-native|flutter|xamarin|unity|cordova|mobile"), "mobile"),
    (re.compile(r"ios|swift|apple|objective"), "ios"),
    (re.compile(r"android|kotlin"), "android"),
    (re.compile(r"python|node|(^|[^a-z])go([^a-z]|$)|java|ruby|php|rust|\.net|csharp|elixir|clojure|server"), "server"),
)
_CHANNELS = {"web": "web", "browser": "web", "mobile": "mobile", "server": "server", "http": "server"}
_SYSTEMS = {"ios": "ios", "ipados": "ios", "watchos": "ios", "tvos": "ios", "iphone os": "ios", "android": "android"}


def find_source(values: dict[str, Any], context: dict[str, Any], is_from_browser: bool) -> str:
    """One of the four sources; `values` are the event's root fields."""
    own_source = values.get("source")
    if isinstance(own_source, str) and own_source in SOURCES:
        return own_source
    sender = None
    if "library" in context:
        sender = _find_by_library(_read_text(context, "library", "name")[:LIBRARY_CHARACTERS_MAX])
    if sender is None and "channel" in values:
        sender = _CHANNELS.get(_lower(values["channel"]))
    if sender is not None and sender != "mobile":
        return sender
    system = _find_system(context) if "device" in context or "os" in context else None
    if system is not None or sender == "mobile":
        return system or "android"
    return "web" if is_from_browser or _read_text(context, "page", "url") else "server"


def _find_system(context: dict[str, Any]) -> str | None:
    return _SYSTEMS.get(_read_text(context, "device", "type")) or _SYSTEMS.get(_read_text(context, "os", "name"))


@lru_cache(maxsize=LIBRARIES_CACHED_MAX)
def _find_by_library(name: str) -> str | None:
    return next((source for pattern, source in _BY_LIBRARY if pattern.search(name)), None)


def _read_text(context: dict[str, Any], part: str, name: str) -> str:
    member = context.get(part)
    return _lower(member.get(name)) if isinstance(member, dict) else ""


def _lower(value: Any) -> str:
    return value.lower() if isinstance(value, str) else ""
