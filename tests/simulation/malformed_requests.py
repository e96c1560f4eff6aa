"""Bad requests to the collecting routes, from a seed: a corpus of good bodies of every protocol, each spoilt.

A body is spoilt in its bytes (cut off, turned, mixed with another), in its JSON (another type, doubled keys, huge
numbers, nesting, half surrogate pairs, bytes that are no UTF-8) or around it (compression that is none, a bomb, headers
that contradict). Some requests stay good by chance, as in life.
"""

from __future__ import annotations

import base64
import gzip
import json
import random
import zlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

EVENT = {
    "type": "track", "event": "Order Completed", "messageId": "m-1", "anonymousId": "a-1", "userId": None,
    "timestamp": "2026-11-22T10:00:00.120Z", "sentAt": "2026-11-22T10:00:00.500Z",
    "properties": {"order_id": "o-1", "revenue": 19.99, "currency": "EUR",
                   "products": [{"product_id": "p-1", "price": 9.5, "quantity": 2}]},
    "context": {"page": {"url": "https://shop.example/a?utm_source=x"}, "userAgent": "Mozilla/5.0", "locale": "de"},
}  # fmt: skip
POSTHOG = {
    "event": "$pageview", "distinct_id": "d", "uuid": "m-2", "timestamp": "2026-11-22T10:00:00Z",
    "properties": {"token": "k", "$device_id": "d", "$current_url": "https://s.example/", "$set": {"plan": "pro"}},
}  # fmt: skip
CLOUD = {"specversion": "1.0", "id": "1", "source": "/s", "type": "Signed Up", "userid": "u", "data": {"a": 1}}
PLAUSIBLE = {"n": "pageview", "u": "https://s.example/#a", "r": None, "p": {"a": "b"}, "$": {"amount": 1}, "h": 1}
UMAMI = {"type": "event", "payload": {"website": "k", "url": "/a", "hostname": "s.example", "screen": "1x1"}}
GA4 = {
    "client_id": "1.2", "user_id": "u", "timestamp_micros": 1793527200123456, "user_agent": "Mozilla/5.0",
    "user_properties": {"plan": {"value": "pro"}}, "user_location": {"country_id": "DE", "region_id": "DE-BE"},
    "device": {"category": "mobile", "screen_resolution": "1x1"}, "ip_override": "203.0.113.9",
    "events": [{"name": "page_view", "params": {"page_location": "https://s.example/", "session_id": 1}},
               {"name": "purchase", "params": {"value": 1.5, "items": [{"item_id": "p-1"}]}}],
}  # fmt: skip
CORPUS: Sequence[tuple[str, Any]] = (
    *((f"/v1/{kind}", EVENT) for kind in ("track", "page", "screen", "identify", "group", "alias", "t", "i")),
    *((path, {"batch": [EVENT, EVENT, {**EVENT, "type": "page"}], "context": {"app": {"name": "x"}}})
      for path in ("/v1/batch", "/v1/b", "/v1/import/", "/beacon/v1/batch")),
    ("/batch/", {"api_key": "k", "batch": [POSTHOG, {**POSTHOG, "event": "$identify"}], "sent_at": "2026-11-22"}),
    ("/e/", [POSTHOG, {**POSTHOG, "event": "$create_alias"}]),
    ("/capture/", {**POSTHOG, "event": "$pageleave"}),
    ("/i/v0/e/", POSTHOG),
    ("/api/event", PLAUSIBLE),
    ("/api/send", UMAMI),
    ("/mp/collect", GA4),
    ("/debug/mp/collect", GA4),
    ("/v1/cloudevents", CLOUD),
    ("/v1/cloudevents", [CLOUD, {**CLOUD, "type": "track"}]),
)  # fmt: skip
WRONG_VALUES: Sequence[Any] = (
    None, True, False, 0, -1, 1.5, 2**63, 10**400, -(10**30), "", " ", "undefined", "x" * 300, "ü" * 200, "\0", "{}",
    "9999-12-31T23:59:59Z", "2026-13-45", [], {}, [[]], [None], {"": {}}, {"a": [1, {"b": None}]}, "٣", "1e999",
)  # fmt: skip
SCRAPS = (
    b"\x00", b"\xff\xfe", b"\xed\xa0\x80", b"\xc0\x80", b'"', b"\\", b"\\u", b"\\ud800", b"\\udc00\\ud800", b"{", b"}",
    b"[", b"]", b",", b":", b"NaN", b"Infinity", b"1e999999", b"-", b"01", b"0" * 500, b"/**/", b"\n", b"\xef\xbb\xbf",
    b'"a":1,"a":2', b"\xf4\x90\x80\x80", b"--", b"+1", b".5", b"tru", b"'",
)  # fmt: skip
HEADERS: Sequence[dict[str, str]] = (
    {"content-encoding": "br"}, {"content-encoding": "gzip"}, {"content-encoding": "gzip, gzip"},
    {"content-type": "multipart/form-data"}, {"content-type": ""}, {"authorization": "Basic %%%"},
    {"authorization": "Bearer \xff"}, {"authorization": "Basic " + base64.b64encode(b"\xff:").decode()},
    {"sentat": "soon"}, {"x-retry-count": "9" * 50}, {"user-agent": "\xff" * 2_000}, {"origin": "null"},
    {"origin": "https://\xff"}, {"accept-language": "*" * 5_000}, {"x-forwarded-for": "999.1.1.1, ::"},
    {"sec-ch-ua-mobile": "?9"}, {"content-length": "5"}, {"content-length": "-1"}, {"transfer-encoding": "gzip"},
    {"transfer-encoding": "chunked", "content-length": "5"}, {"host": "a b"}, {"ce-specversion": "1.0", "ce-id": "%f"},
    {"ce-specversion": "1.0", "ce-type": "track", "content-type": "text/plain"}, {"purpose": "prefetch"},
)  # fmt: skip
QUERIES = (
    b"",
    b"strict=1",
    b"compression=lz64",
    b"compression=gzip-js",
    b"%ff=%ff",
    b"writeKey=",
    b"&&==",
    b"a" * 3_000,
)
_BOMB = gzip.compress(b"[" * (6 << 20), 9)


class BadRequest(NamedTuple):
    path: str
    query: bytes
    headers: dict[str, str]
    body: bytes
    cuts: Sequence[int]  # where the body is cut into the parts in which it comes


def make_request(chance: random.Random) -> BadRequest:
    path, good = chance.choice(CORPUS)
    if chance.random() < 0.5:
        good = _spoil_value(chance, good)
    body = json.dumps(good, ensure_ascii=chance.random() < 0.5).encode(errors="surrogatepass")
    for _ in range(chance.choice((0, 1, 1, 2, 4))):
        body = chance.choice(_SPOILERS)(chance, body)
    headers = dict(chance.choice(HEADERS)) if chance.random() < 0.2 else {}
    if chance.random() < 0.1:
        body = chance.choice(_PACKERS)(chance, body)
    query = chance.choice(QUERIES) if chance.random() < 0.3 else b""
    cuts = sorted(chance.sample(range(len(body)), 2)) if len(body) > 2 and chance.random() < 0.2 else ()
    return BadRequest(path, query, headers, body, cuts)


def _spoil_value(chance: random.Random, value: Any) -> Any:
    """The value with one or a few of its members spoilt."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        names = list(value)
        name = chance.choice(names)
        spoilt = {**value, name: _spoil_value(chance, value[name])}
        if chance.random() < 0.2:
            del spoilt[chance.choice(names)]
        return spoilt
    if isinstance(value, list) and value and chance.random() < 0.9:
        index = chance.randrange(len(value))
        return [*value[:index], _spoil_value(chance, value[index]), *value[index + 1 :]]
    return chance.choice((*WRONG_VALUES, "\ud800", "a\udc00b"))


def _cut_off(chance: random.Random, body: bytes) -> bytes:
    return body[: chance.randrange(len(body) + 1)]


def _turn_bytes(chance: random.Random, body: bytes) -> bytes:
    turned = bytearray(body)
    for _ in range(min(len(turned), chance.choice((1, 2, 20)))):
        turned[chance.randrange(len(turned))] = chance.randrange(256)
    return bytes(turned)


def _insert_scrap(chance: random.Random, body: bytes) -> bytes:
    at = chance.randrange(len(body) + 1)
    return body[:at] + chance.choice(SCRAPS) * chance.choice((1, 1, 1, 40)) + body[at:]


def _double_part(chance: random.Random, body: bytes) -> bytes:
    begin, end = sorted(chance.randrange(len(body) + 1) for _ in range(2))
    return body[:end] + body[begin:]


def _nest(chance: random.Random, body: bytes) -> bytes:
    depth = chance.choice((31, 33, 200, 2_000))
    opening, closing = chance.choice(((b"[", b"]"), (b'{"a":', b"}")))
    nested = opening * depth + b"1" + closing * chance.choice((depth, depth - 1))
    return body.replace(b"null", nested, 1) if b"null" in body else body[:-1] + b',"deep":' + nested + body[-1:]


def _lengthen(chance: random.Random, body: bytes) -> bytes:
    filling = b"x" * chance.choice((40_000, 33_000))
    return body[:-1] + b',"long":"' + filling + b'"' + body[-1:]


def _add_many_keys(chance: random.Random, body: bytes) -> bytes:
    keys = b",".join(b'"k%d":1' % n for n in range(chance.choice((999, 1_100))))
    return body[:-1] + b',"keys":{' + keys + b"}" + body[-1:]


def _bomb(chance: random.Random, body: bytes) -> bytes:
    return _BOMB[: len(_BOMB) - chance.choice((0, 0, 3))] + body[:10]


def _zip(chance: random.Random, body: bytes) -> bytes:
    return gzip.compress(body, 1)


def _zip_badly(chance: random.Random, body: bytes) -> bytes:
    return _turn_bytes(chance, _cut_off(chance, gzip.compress(body, 1)))


def _deflate(chance: random.Random, body: bytes) -> bytes:
    return zlib.compress(body, 1)


def _as_form(chance: random.Random, body: bytes) -> bytes:
    return b"data=" + _turn_bytes(chance, base64.b64encode(body))


def _encode_in_base64(chance: random.Random, body: bytes) -> bytes:
    return base64.b64encode(body)


_SPOILERS: Sequence[Callable[[random.Random, bytes], bytes]] = (
    _cut_off, _cut_off, _turn_bytes, _turn_bytes, _insert_scrap, _insert_scrap, _double_part, _nest, _lengthen,
    _add_many_keys,
)  # fmt: skip
_PACKERS: Sequence[Callable[[random.Random, bytes], bytes]] = (
    _zip, _zip, _zip, _zip_badly, _zip_badly, _deflate, _as_form, _encode_in_base64, _bomb,
)  # fmt: skip
