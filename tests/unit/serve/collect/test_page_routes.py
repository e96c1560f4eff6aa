"""What pages load before they send: the tracker, and the settings that keep Segment's SDK with us."""

from __future__ import annotations

import gzip

import pytest

from rtaplatform.serve.collect.page_routes import read_tracker
from rtaplatform.serve.openapi.document import make_document
from rtaplatform.settings import ApiHalf
from tests.unit.serve.parts_of_tests import Reply, Site

BYTES_MAX = 3_000  # compressed
SETTINGS = "/v1/projects/whatever/settings"


SITE = Site()  # nothing that is asked here changes it


async def ask(path: str, **headers: str) -> Reply:
    return await SITE.ask_raw("GET", path, b"", key=None, headers={n.replace("_", "-"): v for n, v in headers.items()})


def test_the_tracker_has_at_most_three_kilobytes() -> None:
    assert len(gzip.compress(read_tracker().plain, 9)) <= BYTES_MAX


async def test_the_tracker_is_served_to_every_page_without_a_key() -> None:
    reply = await ask("/rta.js", origin="https://shop.example")
    assert (reply.status, reply.body) == (200, read_tracker().plain)
    assert reply.headers["content-type"] == "text/javascript; charset=utf-8"
    assert reply.headers["access-control-allow-origin"] == "*"
    assert reply.headers["cross-origin-resource-policy"] == "cross-origin"
    assert reply.headers["cache-control"] == "public, max-age=600, must-revalidate"
    assert reply.headers["vary"] == "Accept-Encoding"
    assert reply.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("accepted", ["gzip", "br;q=1.0, gzip;q=0.8, *;q=0.1", "gzip, deflate, br, zstd"])
async def test_it_is_compressed_where_gzip_is_accepted(accepted: str) -> None:
    reply = await ask("/rta.js", accept_encoding=accepted)
    assert reply.headers["content-encoding"] == "gzip"
    assert reply.headers["content-length"] == str(len(reply.body))
    assert gzip.decompress(reply.body) == read_tracker().plain


@pytest.mark.parametrize("accepted", ["identity", "gzip;q=0", "gzip; q=0.0, br", "br"])
async def test_it_is_plain_where_gzip_is_not_accepted(accepted: str) -> None:
    reply = await ask("/rta.js", accept_encoding=accepted)
    assert "content-encoding" not in reply.headers
    assert reply.body == read_tracker().plain


@pytest.mark.parametrize("accepted", ["identity", "gzip"])
@pytest.mark.parametrize("condition", ["{}", "W/{}", '"older", {}', "*"])
async def test_a_page_that_has_it_gets_no_body(accepted: str, condition: str) -> None:
    etag = (await ask("/rta.js", accept_encoding=accepted)).headers["etag"]
    reply = await ask("/rta.js", accept_encoding=accepted, if_none_match=condition.format(etag))
    assert (reply.status, reply.body, reply.headers["etag"]) == (304, b"", etag)
    assert "cache-control" in reply.headers


async def test_another_version_is_sent_anew() -> None:
    plain, compressed = await ask("/rta.js"), await ask("/rta.js", accept_encoding="gzip")
    assert plain.headers["etag"] != compressed.headers["etag"]
    assert (await ask("/rta.js", if_none_match='"older"')).status == 200


async def test_head_has_the_headers_alone() -> None:
    reply = await Site().ask("HEAD", "/rta.js", key=None)
    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["content-length"] == str(len(read_tracker().plain))


async def test_only_the_collecting_half_serves_it() -> None:
    assert (await Site(only=ApiHalf.COLLECT).ask("GET", "/rta.js", key=None)).status == 200
    assert (await Site(only=ApiHalf.QUERY).ask("GET", "/rta.js", key=None)).status == 404


def test_it_is_described() -> None:
    operation = make_document(Site().app)["paths"]["/rta.js"]["get"]
    assert "security" not in operation
    assert "text/javascript" in operation["responses"]["200"]["content"]


async def read_settings(**headers: str) -> tuple[str, str]:
    document = (await ask(SETTINGS, **headers)).json
    segment = document["integrations"]["Segment.io"]
    assert segment["apiKey"] == "whatever"
    assert document["metrics"] == {"host": segment["apiHost"], "sampleRate": 0}
    return segment["protocol"], segment["apiHost"]


async def test_segments_sdk_is_told_to_send_to_the_host_that_it_asked() -> None:
    assert await read_settings(host="stats.example:8000") == ("http", "stats.example:8000/v1")
    assert await read_settings(host="[::1]:8000") == ("http", "[::1]:8000/v1")


async def test_a_proxy_tells_how_it_was_reached() -> None:
    forwarded_headers = {
        "x_forwarded_proto": "https",
        "x_forwarded_host": "shop.example",
        "x_forwarded_prefix": "/stats/",
    }
    assert await read_settings(**forwarded_headers) == ("https", "shop.example/stats/v1")


async def test_a_page_of_https_is_never_told_to_send_in_the_clear() -> None:
    assert await read_settings(origin="https://shop.example", host="stats.example") == ("https", "stats.example/v1")
    assert await read_settings(origin="https://shop.example", host="localhost:8000") == ("http", "localhost:8000/v1")


@pytest.mark.parametrize("name", ["host", "x_forwarded_host", "x_forwarded_prefix"])
@pytest.mark.parametrize("value", ["a/b", "a b", "/a//b", 'x"y', "a@b", "//evil.example"])
async def test_a_host_that_is_none_is_refused(name: str, value: str) -> None:
    reply = await ask(SETTINGS, **{"host": "stats.example", name: value})
    assert (reply.status, reply.json["code"]) == (400, "bad-request")


async def test_the_settings_are_open_to_every_page() -> None:
    assert (await ask(SETTINGS)).headers["access-control-allow-origin"] == "*"
    assert (await ask(SETTINGS, origin="https://x")).headers["access-control-allow-origin"] == "https://x"
