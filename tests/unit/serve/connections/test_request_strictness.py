"""What is no HTTP, and paths that have one reading."""

from __future__ import annotations

import pytest

from rtaplatform.core.errors import MalformedRequest
from rtaplatform.serve.connections.request_strictness import check_headers, decode_path

HOST = (b"host", b"api.example:8000")


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [HOST, HOST],
        [(b"host", b"a b")],
        [(b"host", b"a/b")],
        [HOST, (b"transfer-encoding", b"gzip, chunked")],
        [HOST, (b"transfer-encoding", b"chunked, chunked")],
        [HOST, (b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"chunked")],
        [HOST, (b"transfer-encoding", b"identity")],
        [HOST, (b"transfer-encoding", b"chunked"), (b"content-length", b"5")],
    ],
)
def test_ambiguous_requests_are_refused(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(MalformedRequest):
        check_headers(headers, "1.1")


@pytest.mark.parametrize(
    ("headers", "problem"),
    [
        ([], "this one has none"),
        ([HOST, HOST], "this one has 2"),
        ([(b"host", b"")], "is empty"),
        ([(b"host", b"a b")], "'a b'"),
    ],
)
def test_a_sender_without_a_usable_host_is_told_what_to_send(headers: list[tuple[bytes, bytes]], problem: str) -> None:
    with pytest.raises(MalformedRequest, match=problem) as raised:
        check_headers(headers, "1.1")
    assert raised.value.field == "Host"
    assert "`Host: rta.example.com:8000`" in str(raised.value.hint)


def test_unambiguous_requests_pass() -> None:
    check_headers([HOST], "1.1")
    check_headers([HOST, (b"transfer-encoding", b"chunked")], "1.1")
    check_headers([(b"host", b"[::1]:80")], "1.1")
    check_headers([], "1.0")


@pytest.mark.parametrize(
    ("raw", "routed"),
    [
        (b"/v1/users/a%252Fb", "/v1/users/a%252Fb"),
        (b"/v1/%75sers/a%252Fb", "/v1/users/a%252Fb"),
        (b"/v1/users/%69mport", "/v1/users/import"),
        (b"/health%2Flive", "/health%2Flive"),
        (b"/health%2flive", "/health%2Flive"),
        (b"/v1/users/a%2e%2E", "/v1/users/a.."),
        (b"/v1/users/%C3%A4?x=%2F", "/v1/users/%C3%A4"),
    ],
)
def test_needless_escapes_are_decoded(raw: bytes, routed: str) -> None:
    assert decode_path(raw, "whatever the server has decoded") == routed
