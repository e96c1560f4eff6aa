"""An event as an SDK sends it, and the record that the collector must make of it.   simulate: traffic → [sdk_events].

An SDK does not say what the collector finds out: the project, the device and browser behind a user agent, the campaign
in an address, the host of the referrer, the channel, the language of a browser, and who is a bot. These stand in the
shop's own message, which is therefore the record to expect: the truth is counted from it.
Limits: clocks are right. How far a wrong clock is corrected depends on the moment of arrival, which no sender knows.
"""

from __future__ import annotations

from typing import Any, NamedTuple
from zlib import crc32

import msgspec

from rtaplatform.simulate.over_http.user_agents import APPS, BOTS, BROWSERS, SERVER_AGENT, SERVER_LIBRARY
from rtaplatform.simulate.shop.records import SimulatedRecord, encode

_FOUND_OUT = ("projectId", "source", "receivedAt", "sentAt", "marks", "originalTimestamp")
_FOUND_OUT_OF_PAGES = ("device", "os", "browser", "campaign", "referrer", "channel", "locale")
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class SdkEvent(NamedTuple):
    """`body`: the event as sent. `collected`: the record to expect, unless it is refused: `refusal` is the reason then.

    `person`: whose device sends it. `agent` and `language`: of the request, if it is a browser's.
    """

    source: str
    type: str
    person: str
    body: bytes
    collected: SimulatedRecord
    agent: str = ""
    language: str = ""
    refusal: str = ""


def make_sdk_event(record: SimulatedRecord) -> SdkEvent:
    """Return a good record as the SDK of its source sends it."""
    assert record.value is not None
    message = _decode(record.value)
    message["originalTimestamp"] = message["timestamp"]
    make = _EVENT_OF_SOURCE.get(message["source"], _make_app_event)
    return make(message, record)


def _make_page_event(message: dict[str, Any], record: SimulatedRecord) -> SdkEvent:
    context, number = message["context"], crc32(record.key)
    if message.get("marks"):
        agent, language = BOTS[number % len(BOTS)].text, ""
        members = {
            name: member for name, member in context.items() if name not in ("device", "os", "browser", "locale")
        }
        message["context"] = {**members, **BOTS[number % len(BOTS)].context}
    else:
        agents = BROWSERS[context["device"]["type"], context["os"]["name"], context["browser"]["name"]]
        agent, language = agents[number % len(agents)], context["locale"]
    sdk_context = {name: member for name, member in context.items() if name not in _FOUND_OUT_OF_PAGES}
    sdk_context |= {"userAgent": agent, "library": {"name": "analytics.js", "version": "next-1.84.3"}}
    return _make_event(message, record, sdk_context)._replace(agent=agent, language=language)


def _make_app_event(message: dict[str, Any], record: SimulatedRecord) -> SdkEvent:
    context = message["context"]
    models = APPS[message["source"]].models[context["device"]["type"]]
    device = {"type": message["source"], "model": models[crc32(record.key) % len(models)]}
    return _make_event(message, record, {**context, "device": device})._replace(agent=APPS[message["source"]].agent)


def _make_server_event(message: dict[str, Any], record: SimulatedRecord) -> SdkEvent:
    context = {**message["context"], "library": {"name": SERVER_LIBRARY, "version": "2.3.2"}}
    return _make_event(message, record, context)._replace(agent=SERVER_AGENT)


def _make_event(message: dict[str, Any], record: SimulatedRecord, context: dict[str, Any]) -> SdkEvent:
    sdk_message = {name: member for name, member in message.items() if name not in _FOUND_OUT} | {"context": context}
    collected_record = record._replace(value=encode(message))
    return SdkEvent(message["source"], message["type"], record.key.decode(), encode(sdk_message), collected_record)


_EVENT_OF_SOURCE = {"web": _make_page_event, "server": _make_server_event}
