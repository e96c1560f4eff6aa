"""The front answers a collecting call as the framework's way does. A path with a needless escape takes that way."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtaplatform.collect.body.draft import CollectedRecord
from rtaplatform.collect.collector import Collector
from rtaplatform.serve.collect.collect_front import CollectFront, HeaderTexts
from rtaplatform.settings import ApiHalf
from tests.unit.serve.parts_of_tests import Site, Stream

CHANGES = {"ratelimit-reset", "retry-after", "x-ratelimit-reset"}  # by the clock
EVENT = b'{"event":"Signed Up","anonymousId":"a-1","type":"track"}'
BODIES = st.one_of(
    st.sampled_from(
        [
            EVENT, b'{"batch":[%s]}' % EVENT, b'{"batch":[%s,{"type":"track"}]}' % EVENT, b"{}", b"", b"[", b"null",
            b'{"batch":[%s]}' % b",".join([b'{"type":"x"}'] * 200), b'{"batch":[%s,}' % EVENT, gzip.compress(EVENT),
            b'{"writeKey":"writer","batch":[%s]}' % EVENT, gzip.compress(EVENT)[:-4], b'{"writeKey":"nobody"}',
            b'{"event":"\\ud83d","userId":1,"timestamp":"2999-01-01"}', b"\xff", b'{"a":' * 40, b"x" * 40_000,
        ]
    ),
    st.binary(max_size=40),
)  # fmt: skip
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "authorization": st.sampled_from(
            ["Bearer writer", "Bearer reader", "Bearer nobody", "Basic d3JpdGVyOg==", "x"]
        ),
        "origin": st.sampled_from(["https://shop.example", "null", "\xe4"]),
        "content-encoding": st.sampled_from(["gzip", "br", "", "identity", "GZIP"]),
        "content-length": st.sampled_from(["5", "-1", "9" * 30, "x"]),
        "transfer-encoding": st.sampled_from(["chunked", "gzip", "chunked, chunked"]),
        "host": st.sampled_from(["", "a b", "shop.example:80"]),
        "x-forwarded-for": st.sampled_from(["203.0.113.9", "x, y"]),
        "x-retry-count": st.sampled_from(["1", "x"]),
        "sec-fetch-mode": st.just("cors"),
    },
)
QUERIES = st.sampled_from([b"", b"strict=1", b"writeKey=writer", b"writeKey=nobody&x=%FF"])
PATHS = st.sampled_from(["/v1/track", "/v1/t/", "/v1/batch", "/beacon/v1/batch"])


class Log:
    def __init__(self) -> None:
        self.records: list[CollectedRecord] = []

    async def append(self, records: Sequence[CollectedRecord]) -> None:
        self.records += records


def make_site_and_log() -> tuple[Site, Log]:
    log = Log()
    return Site(collector=Collector(log)), log


FRONT, FRONT_LOG = make_site_and_log()
FRAMEWORK, FRAMEWORK_LOG = make_site_and_log()


async def ask_for_reply(site: Site, path: str, query: bytes, body: bytes, headers: dict[str, str]) -> Any:
    reply = await site.ask_raw("POST", path, query, key=None, body=body, headers=headers)
    return reply.status, reply.body, sorted(item for item in reply.headers.items() if item[0] not in CHANGES)


@given(PATHS, QUERIES, BODIES, HEADERS)
def test_both_ways_give_the_same_answer(path: str, query: bytes, body: bytes, headers: dict[str, str]) -> None:
    async def ask_both() -> None:
        by_front = await ask_for_reply(FRONT, path, query, body, headers)
        assert by_front == await ask_for_reply(FRAMEWORK, path.replace("v1", "v%31"), query, body, headers)

    asyncio.run(ask_both())
    assert [(r.topic, r.key, r.bytes_as_sent) for r in FRONT_LOG.records] == [
        (r.topic, r.key, r.bytes_as_sent) for r in FRAMEWORK_LOG.records
    ]


@pytest.mark.parametrize(
    ("method", "path", "raw_path", "is_taken"),
    [
        ("POST", "/v1/track", b"/v1/track", True),
        ("POST", "/v1/track/", b"/v1/track/?x=%20", True),
        ("POST", "/v1/track", b"/v1/%74rack", False),
        ("POST", "/v1/track//", b"/v1/track//", False),
        ("OPTIONS", "/v1/track", b"/v1/track", False),
        ("GET", "/v1/batch", b"/v1/batch", False),
        ("POST", "/v1/query", b"/v1/query", False),
    ],
)
def test_what_the_front_takes(method: str, path: str, raw_path: bytes, is_taken: bool) -> None:
    scope = {"type": "http", "method": method, "path": path, "raw_path": raw_path}
    assert CollectFront(FRONT.parts).takes(scope) is is_taken
    assert not CollectFront(Site(only=ApiHalf.QUERY).parts).takes(scope)


def test_the_first_of_several_headers_with_one_name_counts() -> None:
    headers = HeaderTexts.read([(b"sentat", b"1"), (b"origin", b"\xe4"), (b"sentat", b"2")])
    assert headers == {"sentat": "1", "origin": "\xe4"}


async def test_a_stop_answers_calls_that_wait() -> None:
    class Silent:
        async def append(self, _records: Any) -> None:
            await asyncio.Event().wait()

    site = Site(collector=Collector(Silent()))
    stream = Stream(site.app, "POST", "/v1/track", key="writer", body=EVENT)
    await asyncio.sleep(0.01)
    assert site.parts.bounds.exchanges.end_all() == 1
    await stream.task
    assert (stream.status, stream.headers["connection"]) == (503, "close")
    assert b"The API is stopping" in stream.body
