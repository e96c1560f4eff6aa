"""The visitors' countries, and where people are awake.   simulate: [countries] → visitors, pace.

A country has one zone, that of its largest city. Pure: busyness is a function of a time.
"""

from __future__ import annotations

from datetime import datetime
from random import Random

from rtaplatform.core.time.buckets import HOUR_MS
from rtaplatform.core.time.zones import load_zone
from rtaplatform.simulate.shop.demo_catalog import COUNTRIES, COUNTRY_WEIGHTS
from rtaplatform.simulate.shop.weighted_choice import WeightedChoice

_ZONES = {
    "DE": "Europe/Berlin",
    "AT": "Europe/Vienna",
    "CH": "Europe/Zurich",
    "FR": "Europe/Paris",
    "NL": "Europe/Amsterdam",
    "GB": "Europe/London",
    "US": "America/New_York",
    "PL": "Europe/Warsaw",
    "IT": "Europe/Rome",
    "ES": "Europe/Madrid",
    "SE": "Europe/Stockholm",
    "DK": "Europe/Copenhagen",
    "BR": "America/Sao_Paulo",
    "JP": "Asia/Tokyo",
    "IN": "Asia/Kolkata",
    "NP": "Asia/Kathmandu",
    "AU": "Australia/Sydney",
}
# How busy each local hour is, in any unit: quiet at night, a small peak at noon, the highest in the evening.
_HOURS = (5, 3, 2, 2, 2, 3, 6, 10, 14, 17, 19, 21, 23, 22, 21, 21, 22, 24, 27, 30, 31, 27, 19, 10)
_BUSIEST = max(_HOURS)


def measure_busyness(country: str, time_ms: int) -> float:
    """Return how busy this time is in a country, interpolated between the values of the hours."""
    local = datetime.fromtimestamp(time_ms / 1000, load_zone(_ZONES[country]))
    weight, next_weight = _HOURS[local.hour], _HOURS[(local.hour + 1) % 24]
    return weight + (next_weight - weight) * local.minute / 60


def measure_total_busyness(time_ms: int) -> float:
    """Return how busy this time is in all countries together, by their weights."""
    return sum(
        weight * measure_busyness(country, time_ms) for country, weight in zip(COUNTRIES, COUNTRY_WEIGHTS, strict=True)
    )


class AwakeCountries:
    """Draws countries by their weight and their local hour. The hour's shares are computed once."""

    def __init__(self) -> None:
        self._hour = -1
        self._shares: dict[str, float] = {}
        self._choice = WeightedChoice(COUNTRIES, COUNTRY_WEIGHTS)

    def draw(self, now_ms: int, rng: Random) -> str:
        """Return the country of a visitor who comes now."""
        self._advance(now_ms)
        return self._choice.draw(rng)

    def is_awake(self, country: str, now_ms: int, rng: Random) -> bool:
        """Tell by chance whether somebody of this country would visit a shop at this local time."""
        self._advance(now_ms)
        return rng.random() < self._shares[country]

    def _advance(self, now_ms: int) -> None:
        hour = now_ms // HOUR_MS
        if hour == self._hour:
            return
        self._hour = hour
        self._shares = {country: measure_busyness(country, hour * HOUR_MS) / _BUSIEST for country in COUNTRIES}
        weights = zip(self._shares.values(), COUNTRY_WEIGHTS, strict=True)
        self._choice = WeightedChoice(COUNTRIES, [share * weight for share, weight in weights])
