"""The user agents of the shop's visitors, and what each of them says.   simulate: [user_agents] → sdk_events.

The texts are those of real browsers, apps and bots. What they say was written down by hand, beside each text: the truth
must not come from the parser that the collector uses.
"""

from __future__ import annotations

from typing import NamedTuple

_WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64)"
_KIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
_SAFARI_KIT = "AppleWebKit/605.1.15 (KHTML, like Gecko)"

# (device, system, browser) → user agents that say so.
BROWSERS: dict[tuple[str, str, str], tuple[str, ...]] = {
    ("desktop", "Windows", "Chrome"): (
        f"{_WINDOWS} {_KIT} Chrome/131.0.0.0 Safari/537.36",
        f"{_WINDOWS} {_KIT} Chrome/130.0.0.0 Safari/537.36",
    ),
    ("desktop", "Windows", "Edge"): (f"{_WINDOWS} {_KIT} Chrome/131.0.0.0 Safari/537.36 Edg/131.0.2903.70",),
    ("desktop", "Windows", "Firefox"): (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:133.0) Gecko/20100101 Firefox/133.0",
    ),
    ("desktop", "macOS", "Safari"): (
        f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {_SAFARI_KIT} Version/18.1 Safari/605.1.15",
    ),
    ("desktop", "Linux", "Firefox"): (
        "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0",
        "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0",
    ),
    ("phone", "Android", "Chrome"): (
        f"Mozilla/5.0 (Linux; Android 10; K) {_KIT} Chrome/131.0.0.0 Mobile Safari/537.36",
        f"Mozilla/5.0 (Linux; Android 14; SM-S921B) {_KIT} Chrome/130.0.6723.102 Mobile Safari/537.36",
    ),
    ("phone", "iOS", "Safari"): (
        f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) {_SAFARI_KIT} "
        "Version/18.1 Mobile/15E148 Safari/604.1",
        f"Mozilla/5.0 (iPhone; CPU iPhone OS 17_6 like Mac OS X) {_SAFARI_KIT} "
        "Version/17.6 Mobile/15E148 Safari/604.1",
    ),
    ("tablet", "iOS", "Safari"): (
        f"Mozilla/5.0 (iPad; CPU OS 17_6 like Mac OS X) {_SAFARI_KIT} Version/17.6 Mobile/15E148 Safari/604.1",
    ),
}  # fmt: skip


class BotAgent(NamedTuple):
    """The user agent of a bot. `context`: what it says of device, system and browser."""

    text: str
    context: dict[str, dict[str, str]]


BOTS = (
    BotAgent(
        f"Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) {_KIT} Chrome/131.0.6778.69 Mobile "
        "Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        {"device": {"type": "phone"}, "os": {"name": "Android"}, "browser": {"name": "Googlebot"}},
    ),
    BotAgent(
        f"Mozilla/5.0 (X11; Linux x86_64) {_KIT} HeadlessChrome/131.0.0.0 Safari/537.36",
        {"device": {"type": "desktop"}, "os": {"name": "Linux"}, "browser": {"name": "HeadlessChrome"}},
    ),
    BotAgent("Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)", {"browser": {"name": "AhrefsBot"}}),
)


class AppHabits(NamedTuple):
    """What the SDK of an app sends: its library, its HTTP client's user agent, and its models by kind of device."""

    library: str
    agent: str
    models: dict[str, tuple[str, ...]]


APPS = {
    "ios": AppHabits(
        "analytics-swift",
        "DemoShop/4.2.0 CFNetwork/1568.200.51 Darwin/24.1.0",
        {"phone": ("iPhone16,2", "iPhone14,5"), "tablet": ("iPad13,4",)},
    ),
    "android": AppHabits(
        "analytics-kotlin", "okhttp/4.12.0", {"phone": ("Pixel 8", "SM-S921B"), "tablet": ("Pixel Tablet",)}
    ),
}
SERVER_LIBRARY, SERVER_AGENT = "analytics-python", "analytics-python/2.3.2"
