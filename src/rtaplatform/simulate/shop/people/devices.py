"""A visitor's device, system, browser and campaign.   simulate: [devices] → visitors.

They become the `context` of the events, with Segment's names.
"""

from __future__ import annotations

from random import Random
from typing import Any, NamedTuple
from zlib import crc32

from rtaplatform.simulate.shop.weighted_choice import WeightedChoice

# (device type, os, browser) and how common it is on the web.
_WEB = (
    (("desktop", "Windows", "Chrome"), 26),
    (("desktop", "Windows", "Edge"), 9),
    (("desktop", "Windows", "Firefox"), 7),
    (("desktop", "macOS", "Safari"), 8),
    (("desktop", "Linux", "Firefox"), 3),
    (("phone", "Android", "Chrome"), 23),
    (("phone", "iOS", "Safari"), 18),
    (("tablet", "iOS", "Safari"), 6),
)
_WEB_PROFILES = WeightedChoice([profile for profile, _ in _WEB], [weight for _, weight in _WEB])
_APP_VERSIONS = ("4.1.0", "4.2.0", "4.2.1")
# Campaign, referring host, channel: as the collector writes them.
_CAMPAIGNS = (
    ({"source": "newsletter", "medium": "email", "name": "autumn_sale"}, "mail.example.com", "email"),
    ({"source": "google", "medium": "cpc", "name": "brand"}, "google.com", "paid"),
    ({"source": "instagram", "medium": "social", "name": "lookbook"}, "instagram.com", "social"),
)
_REFERRERS = (
    ("google.com", "search"),
    ("bing.com", "search"),
    ("blog.example.org", "referral"),
    ("duckduckgo.com", "search"),
)
# Country → its languages, and some of its regions. Most visitors read the first language.
_LOCALES = {
    "DE": ("de-DE",), "AT": ("de-AT",), "CH": ("de-CH", "fr-CH"), "FR": ("fr-FR",), "NL": ("nl-NL",), "GB": ("en-GB",),
    "US": ("en-US", "es-US"), "PL": ("pl-PL",), "IT": ("it-IT",), "ES": ("es-ES",), "SE": ("sv-SE",),
    "DK": ("da-DK",), "BR": ("pt-BR",), "JP": ("ja-JP",), "IN": ("en-IN", "hi-IN"), "NP": ("ne-NP",),
    "AU": ("en-AU",),
}  # fmt: skip
_REGIONS = {"DE": ("DE-BE", "DE-BY", "DE-HH", "DE-NW"), "AT": ("AT-9", "AT-5"), "US": ("US-CA", "US-NY", "US-TX")}


def draw_device_context(source: str, country: str, anonymous_id: str | None, rng: Random) -> dict[str, Any]:
    """Return the part of a client's context that does not change. The id decides on region and language."""
    location = {"country": country}
    if source == "server":
        return {"location": location, "library": {"name": "analytics-python"}}
    number = crc32((anonymous_id or "").encode())
    if country in _REGIONS:
        location["region"] = _REGIONS[country][number % len(_REGIONS[country])]
    locales = _LOCALES[country]
    locale = locales[number // 7 % 4 % len(locales)] if number % 7 < 2 else locales[0]
    if source == "web":
        device, system, browser = _WEB_PROFILES.draw(rng)
        return {
            "location": location,
            "device": {"type": device},
            "os": {"name": system},
            "browser": {"name": browser},
            "locale": locale,
        }
    device = "tablet" if rng.random() < 0.12 else "phone"
    return {
        "location": location,
        "device": {"type": device},
        "os": {"name": "iOS" if source == "ios" else "Android"},
        "app": {"name": "Demo Shop", "version": rng.choice(_APP_VERSIONS)},
        "locale": locale,
    }


class Arrival(NamedTuple):
    """How a web session begins: its campaign, if any, and the referring host, empty for a typed address."""

    campaign: dict[str, str] | None
    host: str
    channel: str


def draw_arrival(rng: Random) -> Arrival:
    """Return how a web session begins: from a campaign, from a search, or by a typed address."""
    chance = rng.random()
    if chance < 0.2:
        return Arrival(*rng.choice(_CAMPAIGNS))
    return Arrival(None, *rng.choice(_REFERRERS)) if chance < 0.6 else Arrival(None, "", "direct")
