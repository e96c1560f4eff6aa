"""What a collecting request tells of its client, and whom it is believed from."""

from __future__ import annotations

from typing import Any

import pytest

from rtaplatform.collect.body.envelope import RequestArrival
from rtaplatform.collect.enrich.locations import NOWHERE, VisitorLocation
from rtaplatform.settings import LimitSettings
from tests.unit.serve.parts_of_tests import Site, Stream

BERLIN, PARIS = VisitorLocation("DE", "DE-BE"), VisitorLocation("FR", "")
HEADERS = {"cf-ipcountry": "DE", "cf-region-code": "BE", "x-forwarded-for": "203.0.113.9"}


class Recorder:
    """A collector that keeps what it was told of the request."""

    arrival: RequestArrival

    async def collect_single(self, _body: bytes, _kind: str, _project: str, arrival: RequestArrival) -> dict[str, Any]:
        self.arrival = arrival
        return {"success": True}


async def find_arrival(
    headers: dict[str, str], *, trusted: str = "", addresses: dict[str, VisitorLocation] | None = None
) -> RequestArrival:
    recorder = Recorder()
    find = None if addresses is None else lambda address: addresses.get(address, NOWHERE)
    site = Site(collector=recorder, limits=LimitSettings(trusted_proxies=trusted), find_location=find)
    stream = Stream(site.app, "POST", "/v1/track", key="writer", headers=headers, body={"event": "x", "userId": "u"})
    await stream.task
    assert stream.status == 200
    return recorder.arrival


@pytest.mark.parametrize(("trusted", "location"), [("127.0.0.0/8", BERLIN), ("10.0.0.0/8", NOWHERE), ("", NOWHERE)])
async def test_only_a_trusted_proxy_names_the_country(trusted: str, location: VisitorLocation) -> None:
    assert (await find_arrival(HEADERS, trusted=trusted)).client.location == location


async def test_the_address_of_the_client_is_looked_up_behind_its_proxy() -> None:
    headers = {"x-forwarded-for": "198.51.100.1, 203.0.113.9"}
    addresses = {"203.0.113.9": PARIS, "198.51.100.1": BERLIN}
    behind = await find_arrival(headers, trusted="127.0.0.0/8", addresses=addresses)
    assert behind.client.location == PARIS
    assert (await find_arrival(headers, addresses=addresses)).client.location == NOWHERE


async def test_headers_of_a_browser_are_read() -> None:
    headers = {
        "origin": "https://shop.example", "accept-language": "de-CH", "sec-ch-ua-mobile": "?1",
        "sec-ch-ua-platform": '"Android"', "user-agent": "Mozilla/5.0",
    }  # fmt: skip
    arrival = await find_arrival(headers)
    assert (arrival.is_from_browser, arrival.user_agent, arrival.client.languages) == (True, "Mozilla/5.0", "de-CH")
    assert (arrival.client.hints.is_mobile, arrival.client.hints.platform) == (True, "Android")
