"""The steps that add what the request tells of a visitor: technology, location, language, origin of the visit.

Pure.   Stage 1 of 6. A step adds to `context` what is absent there. What the client says itself stays as it is, with
one exception: SDKs of apps name the system (`ios`) as the type of the device, which becomes the kind of the device.
The headers of a request describe a visitor only if a browser or an app has sent it. A server's describe the server.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from rtaplatform.collect.body.draft import Draft
from rtaplatform.collect.body.json_reading import decode
from rtaplatform.collect.enrich.languages import read_preferred
from rtaplatform.collect.enrich.locations import NOWHERE
from rtaplatform.collect.enrich.user_agents import NO_HINTS, find_device_of_app, read_technology
from rtaplatform.collect.enrich.visit_origins import find_origin

_APP_SYSTEMS = ("ios", "ipados", "android", "tvos", "watchos", "androidtv")
_APP_SOURCES = ("ios", "android")
_VERBATIM = msgspec.json.Decoder(dict[str, Raw])
_encode = msgspec.json.Encoder().encode


def add_technology(draft: Draft) -> Draft:
    """Add `device.type`, `os.name` and, for visitors of pages, `browser.name`."""
    context, request = draft.values.get("context") or {}, draft.request
    kind = ""
    if "device" in context:
        device = _read_member(context, "device")
        kind = _read_text(device, "type")
        if kind.lower() in _APP_SYSTEMS:
            model = f"{_read_text(device, 'model')} {_read_text(device, 'name')}"
            _add(draft, "device", {"type": find_device_of_app(kind.lower(), model)})
    agent, hints = _read_text(context, "userAgent"), NO_HINTS
    if request.is_from_browser:
        agent, hints = agent or request.user_agent or "", request.client.hints
    if not agent:
        return draft
    technology = read_technology(agent, hints)
    if technology.device and not kind:
        _add(draft, "device", {"type": technology.device})
    if technology.os and not ("os" in context and _read_text(_read_member(context, "os"), "name")):
        _add(draft, "os", {"name": technology.os})
    if technology.browser and "browser" not in context and draft.source not in _APP_SOURCES:
        draft.additions["browser"] = {"name": technology.browser}
    return draft


def add_location(draft: Draft) -> Draft:
    """Add `location.country` and `location.region`, by the visitor's address: `context.ip`, else the request's."""
    context, client = draft.values.get("context") or {}, draft.request.client
    if "location" in context and _read_text(_read_member(context, "location"), "country"):
        return draft
    location = NOWHERE
    if client.find_location is not None and (own_address := _read_text(context, "ip")):
        location = client.find_location(own_address)
    elif draft.request.is_from_browser or draft.source in _APP_SOURCES:
        location = client.location
    if location.country:
        region = {"region": location.region} if location.region else {}
        _add(draft, "location", {"country": location.country, **region})
    return draft


def add_language(draft: Draft) -> Draft:
    """Add `locale`, of a request that a browser has sent."""
    request = draft.request
    if request.client.languages and request.is_from_browser:
        locale = read_preferred(request.client.languages)
        if locale and not _read_text(draft.values.get("context") or {}, "locale"):
            draft.additions["locale"] = locale
    return draft


def add_origin_of_visit(draft: Draft) -> Draft:
    """Add `campaign`, `referrer.host` and `channel`, of an event that names its page, its referrer or its campaign.

    A link from a page of the same host is none of the three: the visit goes on.
    """
    context = draft.values.get("context") or {}
    page, properties = _read_member(context, "page"), draft.values.get("properties") or {}
    url = _read_text(page, "url") or _read_text(properties, "url") or _read_text(page, "search")
    referrer = _read_text(page, "referrer") or _read_text(properties, "referrer")
    if not referrer and "referrer" in context:
        referrer = _read_text(_read_member(context, "referrer"), "url")
    campaign = _read_member(context, "campaign") if "campaign" in context else None
    if campaign:
        source, medium = _read_text(campaign, "source"), _read_text(campaign, "medium")
        origin = find_origin(url, referrer, source, medium, is_named=True)
    elif url or referrer:
        origin = find_origin(url, referrer, "", "", is_named=False)
    else:
        return draft
    if origin.campaign and not campaign:
        _add(draft, "campaign", origin.campaign)
    if origin.referrer_host:
        _add(draft, "referrer", {"host": origin.referrer_host})
    if origin.channel and "channel" not in context:
        draft.additions["channel"] = origin.channel
    return draft


def remove_denied(draft: Draft) -> Draft:
    """Remove what the operator does not want to be stored, from `properties`, `traits` and `context.traits`."""
    denied_names = draft.request.denied
    if not denied_names:
        return draft
    for name in ("properties", "traits"):
        value = draft.values.get(name)
        if isinstance(value, dict) and not denied_names.isdisjoint(value):
            draft.fields[name] = _without(draft.fields[name], denied_names)
            draft.values[name] = {key: member for key, member in value.items() if key not in denied_names}
    traits = _read_member(draft.values.get("context") or {}, "traits")
    if not denied_names.isdisjoint(traits):
        context = _open_context(draft)
        context["traits"] = _without(context["traits"], denied_names)
    return draft


def _without(raw: Any, denied_names: frozenset[str]) -> dict[str, Any]:
    members = raw if isinstance(raw, dict) else _read_members(raw)
    return {name: value for name, value in members.items() if name not in denied_names}


def _read_members(raw: Raw) -> dict[str, Any]:
    """The members of an object, each as sent."""
    members = decode(raw, _VERBATIM)
    return {**members}


def write_additions(draft: Draft) -> Draft:
    """Write what the steps above have added into the event's context, whose other members stay as they were sent."""
    if not draft.additions:
        return draft
    values, own_context = draft.values.get("context") or {}, draft.fields.get("context")
    if isinstance(own_context, Raw) and values and values.keys().isdisjoint(draft.additions):
        # The usual case, without making an object of each member: the text of both, one after the other.
        draft.fields["context"] = Raw(b"%s,%s" % (bytes(own_context)[:-1], _encode(draft.additions)[1:]))
        return draft
    context = _open_context(draft)
    for name, addition in draft.additions.items():
        if isinstance(addition, dict) and values.get(name):
            addition = {**_read_members(context[name]), **addition}
        context[name] = addition
    return draft


def _open_context(draft: Draft) -> dict[str, Any]:
    """The event's context to add to: its members as sent."""
    own_context = draft.fields.get("context")
    if isinstance(own_context, dict):
        return own_context
    members = _read_members(own_context) if own_context is not None and draft.values.get("context") else {}
    draft.fields["context"] = members
    return members


def _add(draft: Draft, name: str, members: dict[str, str]) -> None:
    """Add members to an object of the context, if it is one or absent."""
    value = (draft.values.get("context") or {}).get(name)
    if value is None or isinstance(value, dict):
        draft.additions[name] = members


def _read_member(context: dict[str, Any], name: str) -> dict[str, Any]:
    member = context.get(name)
    return member if isinstance(member, dict) else {}


def _read_text(members: dict[str, Any], name: str) -> str:
    value = members.get(name)
    return value if isinstance(value, str) else ""
