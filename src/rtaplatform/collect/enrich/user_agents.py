"""What a visitor uses: device, operating system and browser, from the user agent and the client hints.   Pure.

The library ua-parser knows the systems and browsers; its rules are those of the project uap-core. It does not say
what kind of device it is: that follows from the words by which phones, tablets and televisions name themselves.
"""

from __future__ import annotations

import re
from functools import lru_cache

from msgspec import Struct
from ua_parser import parse

USER_AGENT_CHARACTERS_MAX = 512
AGENTS_CACHED_MAX = 8_192
PHONE, TABLET, DESKTOP, TV, CONSOLE = "phone", "tablet", "desktop", "tv", "console"
_TV = re.compile(
    r"smart-?tv|\btv\b|appletv|googletv|hbbtv|netcast|web0s|webos\.tv|bravia|crkey|roku|aft[a-z]\b|viera", re.I
)
_CONSOLE = re.compile(r"playstation|xbox|nintendo", re.I)
_TABLET = re.compile(r"ipad|tablet|kindle|silk(?!.*mobile)|playbook|nexus (?:7|9|10)\b|sm-[tx]\d", re.I)
_PHONE = re.compile(r"iphone|ipod|windows phone|\bmobile\b|\bmobi\b", re.I)
_DESKTOP = ("Windows", "macOS", "Linux", "Chrome OS")
_SYSTEMS = {
    "Mac OS X": "macOS", "Mac OS": "macOS", "iPadOS": "iOS", "Ubuntu": "Linux", "Debian": "Linux", "Fedora": "Linux",
    "FreeBSD": "FreeBSD", "Chromium OS": "Chrome OS", "Other": "",
}  # fmt: skip
# The name of a browser without the system that it runs on.
_BROWSER_SUFFIX = re.compile(r" (?:Mobile WebView|Mobile iOS|Mobile|iOS|WebView|Tablet)$|/.*$")
_BROWSERS = {
    "Mobile Safari": "Safari", "Mobile Safari UI/WKWebView": "Safari", "Edge Legacy": "Edge",
    "IE": "Internet Explorer", "Other": "",
}  # fmt: skip


class Technology(Struct, frozen=True):
    """Empty where it is not known. `device`: phone, tablet, desktop, tv or console."""

    device: str = ""
    os: str = ""
    browser: str = ""


NO_TECHNOLOGY = Technology()


class ClientHints(Struct, frozen=True):
    """The headers Sec-CH-UA-Mobile (None: not sent) and Sec-CH-UA-Platform, without its quotes."""

    is_mobile: bool | None = None
    platform: str = ""


NO_HINTS = ClientHints()


def read_hints(mobile: str | None, platform: str | None) -> ClientHints:
    """Read the two headers that every Chromium sends without being asked. Each is None where it was not sent."""
    if mobile is None and platform is None:
        return NO_HINTS
    is_mobile = {"?1": True, "?0": False}.get((mobile or "").strip())
    name = (platform or "").strip().strip('"')[:32]
    return ClientHints(is_mobile, name if name != "Unknown" else "")


def read_technology(user_agent: str, hints: ClientHints = NO_HINTS) -> Technology:
    """What a visitor with this user agent uses."""
    technology = _read_agent(user_agent[:USER_AGENT_CHARACTERS_MAX])
    if hints is NO_HINTS:
        return technology
    os = _SYSTEMS.get(hints.platform, hints.platform) or technology.os
    device = technology.device
    if hints.is_mobile:
        device = device if device in (PHONE, TABLET) else PHONE
    return Technology(device or _find_device_of_system(os), os, technology.browser)


@lru_cache(maxsize=AGENTS_CACHED_MAX)
def _read_agent(agent: str) -> Technology:
    if not agent:
        return NO_TECHNOLOGY
    result = parse(agent)
    system = result.os.family if result.os is not None else ""
    browser = result.user_agent.family if result.user_agent is not None else ""
    os = _SYSTEMS.get(system, system)
    return Technology(_find_device(agent, os), os, _BROWSERS.get(browser, _BROWSER_SUFFIX.sub("", browser)))


def _find_device(agent: str, os: str) -> str:
    """The first of these rules that applies. An Android without the word Mobile is a tablet."""
    if _TV.search(agent):
        return TV
    if _CONSOLE.search(agent):
        return CONSOLE
    if _TABLET.search(agent):
        return TABLET
    if _PHONE.search(agent):
        return PHONE
    return TABLET if os == "Android" else _find_device_of_system(os)


def _find_device_of_system(os: str) -> str:
    return DESKTOP if os in _DESKTOP else PHONE if os == "iOS" else ""


def find_device_of_app(system: str, model: str) -> str:
    """The kind of a device on which an app runs, whose SDK names the system (ios, android …) and the model."""
    if system in ("tvos", "androidtv"):
        return TV
    return TABLET if _TABLET.search(model) else PHONE
