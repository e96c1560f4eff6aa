"""Records of `rta.control` are read as they were written; other records are ignored."""

from __future__ import annotations

import json

import pytest

from rtaplatform.core.control_records import ERASE, ErasureRecord, encode_erasure, read_erasure

RECORD = ErasureRecord(ERASE, "era_1", "demo", "u-4", ["a-17"], "2026-11-22T10:00:00.120Z")


def test_an_erasure_is_read_as_it_was_written() -> None:
    assert read_erasure(encode_erasure(RECORD)) == RECORD


def test_an_erasure_has_the_fields_of_its_reference_page() -> None:
    assert json.loads(encode_erasure(RECORD)) == {
        "type": "erase", "receiptId": "era_1", "projectId": "demo", "userId": "u-4", "anonymousIds": ["a-17"],
        "at": "2026-11-22T10:00:00.120Z",
    }  # fmt: skip


@pytest.mark.parametrize("value", [None, b"", b"no JSON", b"\xff", b"[]", b"{}", b'{"type": "other"}', b'{"type": 1}'])
def test_other_records_than_erasures_are_ignored(value: bytes | None) -> None:
    assert read_erasure(value) is None


def test_fields_of_a_later_version_are_ignored() -> None:
    assert read_erasure(b'{"type": "erase", "projectId": "demo", "more": 1}') == ErasureRecord(ERASE, project_id="demo")
