"""The country and region of an address.   Stage 1 of 6.

They come from headers that a trusted proxy has set, else from a file in MaxMind's format, which is opened once. The
address itself is looked up and then forgotten: it is in no record, no log line and no cache.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import maxminddb
from msgspec import Struct

from rtaplatform.core.errors import SetupError

# What proxies and content networks add, in the order in which they are asked: country, and region if they have one.
COUNTRY_HEADERS = (
    ("cf-ipcountry", "cf-region-code"),
    ("cloudfront-viewer-country", "cloudfront-viewer-country-region"),
    ("x-vercel-ip-country", "x-vercel-ip-country-region"),
    ("x-appengine-country", "x-appengine-region"),
    ("fastly-client-country", "fastly-client-region"),
    ("x-country-code", "x-region-code"),
)
_COUNTRY = re.compile(r"[A-Z]{2}")
_REGION = re.compile(r"[A-Z0-9]{1,3}")
_UNKNOWN = ("XX", "T1", "ZZ", "EU", "AP")  # unknown, Tor, and what is no country


class VisitorLocation(Struct, frozen=True):
    """`country`: ISO 3166-1 alpha-2. `region`: ISO 3166-2, as in DE-BE. Empty where it is not known."""

    country: str = ""
    region: str = ""


NOWHERE = VisitorLocation()


def read_proxy_headers(headers: Mapping[str, str]) -> VisitorLocation:
    """The location that a proxy has found out. To be called for requests of trusted proxies only."""
    for country_name, region_name in COUNTRY_HEADERS:
        if value := headers.get(country_name):
            return make_location(value, headers.get(region_name, ""))
    return NOWHERE


def make_location(country: str, region: str) -> VisitorLocation:
    """The location of two codes. `region` may begin with the country, as in DE-BE. Nowhere if the country is none."""
    country, region = country.strip().upper(), region.strip().upper()
    if not _COUNTRY.fullmatch(country) or country in _UNKNOWN:
        return NOWHERE
    region = region.removeprefix(f"{country}-")
    return VisitorLocation(country, f"{country}-{region}" if _REGION.fullmatch(region) else "")


class LocationFile:
    """A file in MaxMind's format with countries, and perhaps regions. Raises SetupError if it cannot be read."""

    def __init__(self, path: Path) -> None:
        try:
            self._reader = maxminddb.open_database(path, maxminddb.MODE_AUTO)
        except (OSError, ValueError, maxminddb.InvalidDatabaseError) as error:
            raise SetupError(
                f"RTA_COLLECT_LOCATION_FILE: {path} is no database in MaxMind's format ({error}).",
                "Name a .mmdb file with countries or cities, or leave the variable away.",
            ) from error

    def find(self, address: str) -> VisitorLocation:
        """Where the address, or the IPv6 network of 64 bits, is. Private and unknown addresses are nowhere."""
        try:
            entry: Any = self._reader.get(ip_address(address.strip().removesuffix("/64")))
        except (ValueError, maxminddb.InvalidDatabaseError):
            return NOWHERE
        if not isinstance(entry, dict):
            return NOWHERE
        subdivisions = entry.get("subdivisions")
        first = subdivisions[0] if isinstance(subdivisions, list) and subdivisions else {}
        return make_location(_read_code(entry.get("country")), _read_code(first))


def _read_code(part: Any) -> str:
    code = part.get("iso_code") if isinstance(part, dict) else None
    return code if isinstance(code, str) else ""
