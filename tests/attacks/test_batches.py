"""Bodies of a few kilobytes that are megabytes of work once they are unzipped, with a public write key or none."""

from __future__ import annotations

import gzip
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.attacks.harm import expecting_no_harm
from tests.attacks.stack import WRITE_KEY, Stack

PAGE = b'{"type":"page","anonymousId":"a"}'
AGENT = b'{"type":"page","anonymousId":"a","context":{"userAgent":"Mozilla/5.0 (iPhone) Version/%d"}}'
MANY = 4_190_000


def make_list(*events: bytes, before: bytes = b"") -> bytes:
    return b"{" + before + b'"batch":[' + b",".join(events) + b"]}"


def wrap_in_page(filling: bytes, count: int) -> bytes:
    """A page whose extra field is that filling, again and again."""
    return b'{"type":"page","anonymousId":"a","x":' + filling[:1] + filling[1:-1] * count + filling[-1:] + b"}"


BODIES = {
    "numbers": make_list(*[b"0"] * (MANY // 2)),
    "numbers behind one that is none": make_list(b"NaN", *[b"0"] * (MANY // 2)),
    "55,000 good events": make_list(*[PAGE] * 55_000),
    "5,000 events that say much together": make_list(*[PAGE] * 5_000, before=b'"context":{"x":"%s"},' % (b"y" * 7_000)),
    "5,000 events of a context of 2 MB": make_list(
        *[PAGE] * 5_000, before=b'"context":{"x":"%s"},' % (b"y" * 2_000_000)
    ),
    "5,000 events that are none": make_list(*[b'"x"'] * 5_000),
    "5,000 user agents": make_list(*[AGENT % n for n in range(5_000)]),
    "brackets": make_list(b"NaN", b"[]" * (MANY // 2)),
    "open brackets": make_list(b"NaN", b"[" * MANY),
    "quotes": make_list(b"NaN", b'"a"b"' * (MANY // 5)),
    "events that swallow each other": b'{"batch":[' + b'{"type":"\\",' * (MANY // 12) + b"]}",
    "events of brackets": make_list(*[wrap_in_page(b"[[],]", 10_000)] * 120),
    "events of keys": make_list(*[wrap_in_page(b'{"":0,}', 6_000)] * 120),
    "events of halves of characters": make_list(*[wrap_in_page(b'"\\ud800"', 5_300)] * 120),
    "events of escapes": make_list(*[wrap_in_page(b'"\\n"', 16_000)] * 120),
    "a key of escapes": b'{"writeKey":"%s\\ud800"}' % (b"\\n" * (MANY // 2)),
}


def send(stack: Stack, body: bytes, key: str | None = WRITE_KEY, path: str = "/v1/batch") -> int:
    answer = stack.ask("POST", path, key, content=body, headers={"Content-Encoding": "gzip"})
    assert len(answer.content) < 2 << 20
    return answer.status_code


@pytest.mark.parametrize("name", BODIES)
def test_a_batch_stops_nobody_whatever_is_in_it(stack: Stack, name: str) -> None:
    body = gzip.compress(BODIES[name])
    with expecting_no_harm(stack):
        assert send(stack, body) in (200, 400)


@pytest.mark.parametrize("name", ["a key of escapes", "numbers", "brackets"])
@pytest.mark.parametrize("path", ["/v1/batch", "/v1/track"])
def test_a_stranger_stops_nobody_with_a_large_body(stack: Stack, name: str, path: str) -> None:
    body = gzip.compress(BODIES[name])
    with expecting_no_harm(stack), ThreadPoolExecutor(10) as strangers:
        assert set(strangers.map(lambda _: send(stack, body, None, path), range(10))) <= {400, 401}


def test_bytes_that_are_no_utf8_are_no_error_of_ours(stack: Stack) -> None:
    good = {"type": "track", "event": "e", "anonymousId": "a"}
    encoded = json.dumps(good).encode()
    broken = b'{"type":"track","event":"e","anonymousId":"a","x":1e400,"y":"\xff"}'
    for body, accepted in (
        (b'{"context":{"a":"\xff"},"batch":[%s]}' % encoded, 1),
        (make_list(encoded, broken, encoded), 2),
        (b'{"integrations":{"a":"\xff"},"batch":[%s]}' % encoded, 1),
        (b'{"sentAt":"\xff","timestamp":"\xff","batch":[%s]}' % encoded, 1),
        (b'{"\xff":1,"batch":[%s]}' % encoded, 1),
    ):
        answer = stack.ask("POST", "/v1/batch", WRITE_KEY, content=body)
        assert (answer.status_code, answer.json()["accepted"]) == (200, accepted), answer.text
    assert stack.ask("POST", "/v1/track", WRITE_KEY, content=broken).status_code == 400
