"""Whose events a request has is read without reading the events."""

from __future__ import annotations

import pytest

from rtaplatform.collect.body.senders import find_sender


@pytest.mark.parametrize(
    ("first", "last", "sender"),
    [
        (b'{"anonymousId": "a", "userId": "u"}', b'{"userId": "v", "anonymousId": "a"}', '"a"'),
        (b'{"anonymousId": null, "userId": 7}', b'{"userId": 7}', "7"),
        (b'{"distinct_id": "d"}', b'{"distinct_id": "d"}', '"d"'),
        (b'{"userId": "u"}', b'{"userId": "v"}', None),
        (b'{"userId": ""}', b'{"userId": ""}', None),
        (b'{"userId": "%b"}' % (b"x" * 300), b"{}", None),
        (b'{"userId": ', b"[]", None),
        (b"3", b"3", None),
        (b'{"userId": "\xff"}', b'{"userId": "\xff"}', '"\ufffd"'),
    ],
)
def test_the_sender_of_a_request(first: bytes, last: bytes, sender: str | None) -> None:
    assert find_sender(first, last) == sender
