"""A visitor's device, system, browser and campaign.   simulate: [devices] → visitors.

They become the `context` of the events, with Segment's names.
"""

from __future__ import annotations

from random import Random
from typing import Any

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
_CAMPAIGNS = (
    ({"source": "newsletter", "medium": "email", "name": "autumn_sale"}, "https://mail.example.com/"),
    ({"source": "google", "medium": "cpc", "name": "brand"}, "https://www.google.com/"),
    ({"source": "instagram", "medium": "social", "name": "lookbook"}, "https://www.instagram.com/"),
)
_REFERRERS = (
    "https://www.google.com/",
    "https://www.bing.com/",
    "https://blog.example.org/",
    "https://duckduckgo.com/",
)


def device_context(source: str, country: str, rng: Random) -> dict[str, Any]:
    """Return the part of a client's context that does not change."""
    location = {"country": country}
    if source == "server":
        return {"location": location, "library": {"name": "analytics-python"}}
    if source == "web":
        device, system, browser = _WEB_PROFILES.draw(rng)
        return {
            "location": location,
            "device": {"type": device},
            "os": {"name": system},
            "browser": {"name": browser},
        }
    device = "tablet" if rng.random() < 0.12 else "phone"
    return {
        "location": location,
        "device": {"type": device},
        "os": {"name": "iOS" if source == "ios" else "Android"},
        "app": {"name": "Demo Shop", "version": rng.choice(_APP_VERSIONS)},
    }


def draw_arrival(rng: Random) -> tuple[dict[str, str] | None, str]:
    """Return campaign and referrer of a web session: from a campaign, from a search, or by a typed address."""
    chance = rng.random()
    if chance < 0.2:
        return rng.choice(_CAMPAIGNS)
    return None, rng.choice(_REFERRERS) if chance < 0.6 else ""
