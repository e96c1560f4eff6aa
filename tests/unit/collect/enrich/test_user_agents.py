"""Device, system and browser of real user agents, and what client hints add."""

from __future__ import annotations

import pytest

from rtaplatform.collect.enrich.user_agents import (
    NO_HINTS,
    NO_TECHNOLOGY,
    Technology,
    find_device_of_app,
    read_hints,
    read_technology,
)

WINDOWS = "Windows NT 10.0; Win64; x64"
WEBKIT = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
GECKO = "Gecko/20100101 Firefox/127.0"
SAMSUNG = "AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/25.0 Chrome/121.0.0.0 Mobile Safari/537.36"


def make_chrome(system: str, after: str = "Safari/537.36") -> str:
    return f"Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 {after}"


def make_safari(system: str, browser: str = "Version/17.5") -> str:
    return f"Mozilla/5.0 ({system}) {WEBKIT} {browser} Mobile/15E148 Safari/604.1"


@pytest.mark.parametrize(
    ("agent", "device", "os", "browser"),
    [
        (make_chrome(WINDOWS), "desktop", "Windows", "Chrome"),
        (make_chrome(WINDOWS, "Safari/537.36 Edg/126.0.0.0"), "desktop", "Windows", "Edge"),
        (make_chrome(WINDOWS, "Safari/537.36 OPR/112.0.0.0"), "desktop", "Windows", "Opera"),
        ("Mozilla/5.0 (Windows NT 6.1; Trident/7.0; rv:11.0) like Gecko", "desktop", "Windows", "Internet Explorer"),
        (f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:127.0) {GECKO}", "desktop", "macOS", "Firefox"),
        (f"Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:127.0) {GECKO}", "desktop", "Linux", "Firefox"),
        (make_chrome("X11; CrOS x86_64 14541.0.0"), "desktop", "Chrome OS", "Chrome"),
        (make_safari("iPhone; CPU iPhone OS 17_5 like Mac OS X"), "phone", "iOS", "Safari"),
        (make_safari("iPad; CPU OS 16_0 like Mac OS X", "CriOS/120.0"), "tablet", "iOS", "Chrome"),
        (make_chrome("Linux; Android 10; K", "Mobile Safari/537.36"), "phone", "Android", "Chrome"),
        (make_chrome("Linux; Android 13; SM-X700"), "tablet", "Android", "Chrome"),
        (f"Mozilla/5.0 (Linux; Android 13; SM-S918B) {SAMSUNG}", "phone", "Android", "Samsung Internet"),
        (make_chrome("Linux; Android 14; Pixel 8; wv", "Mobile Safari/537.36"), "phone", "Android", "Chrome"),
        (make_chrome("Web0S; Linux/SmartTV", "Safari/537.36 WebAppManager"), "tv", "Web0S", "Chrome"),
        (f"Mozilla/5.0 (PlayStation 5 3.03) {WEBKIT} Version/15.4 Safari/605.1.15", "console", "", "Safari"),
    ],
)
def test_real_user_agents(agent: str, device: str, os: str, browser: str) -> None:
    assert read_technology(agent) == Technology(device, os, browser)


@pytest.mark.parametrize("agent", ["", "-", "x" * 5_000, "\x00\u00e9", "Mozilla/5.0"])
def test_what_tells_nothing_is_no_error(agent: str) -> None:
    assert read_technology(agent).device == ""
    assert read_technology("") == NO_TECHNOLOGY


def test_hints_name_the_system_that_the_user_agent_hides() -> None:
    hints = read_hints("?0", '"macOS"')
    assert read_technology("Mozilla/5.0 Chrome/126.0.0.0 Safari/537.36", hints).os == "macOS"
    assert read_technology(make_chrome(WINDOWS), read_hints("?1", '"Android"')) == Technology(
        "phone", "Android", "Chrome"
    )


def test_hints_that_say_nothing_change_nothing() -> None:
    assert read_hints(None, None) is NO_HINTS
    assert read_technology(make_chrome(WINDOWS), read_hints("?0", '"Unknown"')) == read_technology(make_chrome(WINDOWS))
    assert read_technology(make_chrome(WINDOWS), read_hints("yes", "")) == read_technology(make_chrome(WINDOWS))


@pytest.mark.parametrize(
    ("system", "model", "device"),
    [("ios", "iPhone15,2 iPhone", "phone"), ("ios", "iPad13,4", "tablet"), ("tvos", "AppleTV11,1", "tv"),
     ("android", "SM-X700", "tablet"), ("android", "Pixel 8", "phone")],
)  # fmt: skip
def test_devices_of_apps(system: str, model: str, device: str) -> None:
    assert find_device_of_app(system, model) == device
