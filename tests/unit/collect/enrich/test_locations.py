"""Countries by a proxy's headers, and by a small file in MaxMind's format."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from rtaplatform.collect.enrich.locations import NOWHERE, LocationFile, VisitorLocation, read_proxy_headers
from rtaplatform.collect.enrich.locations import VisitorLocation as At
from rtaplatform.core.errors import SetupError


def write_locations(path: Path) -> Path:
    """A file with one network in Berlin, one in Switzerland, and one whose entry has no country."""
    writer = MMDBWriter(6, "Test-City", languages=["en"], ipv4_compatible=True)
    writer.insert_network(
        IPSet(["203.0.113.0/24"]), {"country": {"iso_code": "DE"}, "subdivisions": [{"iso_code": "BE"}]}
    )
    writer.insert_network(IPSet(["2001:db8::/32"]), {"country": {"iso_code": "CH"}})
    writer.insert_network(IPSet(["198.51.100.0/24"]), {"continent": {"code": "EU"}})
    writer.to_db_file(str(path))
    return path


@pytest.mark.parametrize(
    ("address", "location"),
    [("203.0.113.9", At("DE", "DE-BE")), ("2001:db8:1::/64", At("CH", "")),
     ("2001:db8::7", At("CH", "")),
     ("198.51.100.1", NOWHERE), ("192.0.2.1", NOWHERE), ("127.0.0.1", NOWHERE), ("unknown", NOWHERE), ("", NOWHERE)],
)  # fmt: skip
def test_an_address_has_a_country(tmp_path: Path, address: str, location: VisitorLocation) -> None:
    assert LocationFile(write_locations(tmp_path / "test.mmdb")).find(address) == location


def test_a_file_of_another_format_is_named(tmp_path: Path) -> None:
    path = tmp_path / "wrong.mmdb"
    path.write_text("country,code")
    with pytest.raises(SetupError, match="RTA_COLLECT_LOCATION_FILE"):
        LocationFile(path)


@pytest.mark.parametrize(
    ("headers", "location"),
    [({"cf-ipcountry": "de"}, At("DE", "")), ({"cf-ipcountry": "XX"}, NOWHERE), ({"cf-ipcountry": "T1"}, NOWHERE),
     ({"x-vercel-ip-country": "US", "x-vercel-ip-country-region": "CA"}, At("US", "US-CA")),
     ({"cloudfront-viewer-country": "FR", "cloudfront-viewer-country-region": "FR-IDF"}, At("FR", "FR-IDF")),
     ({"x-country-code": "DE; DROP"}, NOWHERE), ({"x-country-code": "DE", "x-region-code": "<b>"}, At("DE", "")),
     ({}, NOWHERE)],
)  # fmt: skip
def test_headers_of_proxies(headers: dict[str, str], location: VisitorLocation) -> None:
    assert read_proxy_headers(headers) == location
