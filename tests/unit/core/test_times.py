"""Times are read to the millisecond, or not at all."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtaplatform.core.times import iso_utc, read_time_ms
from rtaplatform.simulate.oracle_calendar import read_time

NINE = 1_795_251_600_120  # 2026-11-21T09:00:00.120Z
LAST = 253_402_300_799_999


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2026-11-21T09:00:00.120Z", NINE),
        ("2026-11-21T09:00:00.120", NINE),
        ("2026-11-21 09:00:00,120Z", NINE),
        ("2026-11-21t09:00:00.120z", NINE),
        ("2026-11-21T09:00:00.12Z", NINE),
        ("2026-11-21T09:00:00.120999999999Z", NINE),
        ("2026-11-21T10:00:00.120+01:00", NINE),
        ("2026-11-21T10:00:00.120+0100", NINE),
        ("2026-11-21T10:00:00.120+01", NINE),
        ("2026-11-21T05:30:00.120-03:30", NINE),
        ("2026-11-21T09:00", NINE - 120),
        ("2026-11-21", NINE - 120 - 9 * 3_600_000),
        ("1970-01-01", 0),
        ("1970-01-01T01:00:00+01:00", 0),
        ("9999-12-31T23:59:59.999Z", LAST),
    ],
)
def test_iso_8601_is_read(text: str, ms: int) -> None:
    assert read_time_ms(text) == ms


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "now", "1795251600120", "20261121", "2026-11-21T", "2026-11-21T09", "2026-11-21T09:00:00.Z",
        "2026-11-21T24:00:00Z", "2026-11-21T09:60:00Z", "2026-11-21T09:00:60Z", "2026-11-21T09:00:60.000Z",
        "2026-02-29", "2026-13-01", "2026-00-10", "0000-01-01", "1969-12-31T23:59:59.999Z", "1970-01-01T00:00:00+00:01",
        "10000-01-01", "9999-12-31T23:59:59.999-00:01", "2026-11-21T09:00:00.120+24:00", "2026-11-21T09:00:00+01:60",
        "2026-11-21T09:00:00.120Z ", "\n2026-11-21", "２026-11-21", "2026-11-21T09:00:0٣.120Z",
        "2026-11-21T09:00:00.12٣Z",
        "2026-11-21T09:00:00.120 Z", "+2026-11-21", "2026-W47-6", "2026-325", "2026-11-21X09:00:00.120Z",
    ],
)  # fmt: skip
def test_everything_else_is_unreadable(text: str) -> None:
    assert read_time_ms(text) is None


@given(st.integers(0, LAST))
def test_what_is_written_is_read_back(ms: int) -> None:
    assert read_time_ms(iso_utc(ms)) == ms
    assert read_time_ms(iso_utc(ms)) == ms  # now from the minutes that are remembered


@given(
    st.one_of(
        st.from_regex(
            r"[0-9]{4}-[01][0-9]-[0-3][0-9]([Tt ][0-2][0-9]:[0-6][0-9](:[0-6][0-9](\.[0-9]{1,5})?)?Z?)?", fullmatch=True
        ),
        st.from_regex(r"20[0-9]{2}-0[1-9]-[0-2][0-9]T[01][0-9]:[0-5][0-9]:[0-6][0-9]\.[0-9]{3}[Zz+]", fullmatch=True),
        st.text(alphabet="0123456789-:.TZ+ ,", max_size=30),
    )
)  # fmt: skip
def test_any_text_is_read_as_the_oracle_reads_it(text: str) -> None:
    assert read_time_ms(text) == read_time(text)


def test_a_fast_reading_is_no_other_reading() -> None:
    at = datetime(2026, 11, 21, 9, 0, 59, 999_000, UTC)
    for _ in range(2):
        assert read_time_ms("2026-11-21T09:00:59.999Z") == int(at.timestamp() * 1000)
        assert read_time_ms("2026-11-21 09:00:59.999Z") == int(at.timestamp() * 1000)
