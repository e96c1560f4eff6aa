"""Times are read to the millisecond, or not at all."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtaplatform.core.time.timestamps import format_iso_utc, read_number_ms, read_time_ms
from rtaplatform.simulate.oracle.oracle_calendar import read_time
from rtaplatform.simulate.oracle.oracle_json import OracleNumber

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
        ("20261121", NINE - 120 - 9 * 3_600_000),
        ("2026-W47-6", NINE - 120 - 9 * 3_600_000),
        ("2026W476", NINE - 120 - 9 * 3_600_000),
        ("2026-325", NINE - 120 - 9 * 3_600_000),
        ("2026325", NINE - 120 - 9 * 3_600_000),
        ("+002026-11-21", NINE - 120 - 9 * 3_600_000),
        ("2026-11", 1_793_491_200_000),
        ("2026-W47", 1_794_787_200_000),
        ("2026", 1_767_225_600_000),
        ("20261121T090000.120Z", NINE),
        ("20261121T100000.120+0100", NINE),
        ("2026-11-21T10:00:00.120−01:00", NINE + 2 * 3_600_000),
        ("2026-11-21T09", NINE - 120),
        ("2026-11-21T08.5", NINE - 120 - 1_800_000),
        ("2026-11-21T08:59,75", NINE - 120 - 15_000),
        ("2026-11-20T24:00:00.000Z", NINE - 120 - 9 * 3_600_000),
        ("2026-11-20T23:59:60Z", NINE - 120 - 9 * 3_600_000),
        ("2026-11-21T08:59:60.500Z", NINE - 120),
        ("1795251600120", NINE),
        ("1795251600", NINE - 120),
        ("1795251600.12", NINE),
        ("1.79525160012e12", NINE),
        ("0", 0),
        ("99999999999", 99_999_999_999_000),
        ("100000000000", 100_000_000_000),
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
        "", " ", "now", "2026-11-21T", "2026-11-21T09:00:00.Z", "2026-11T09:00", "2026T09", "2026-W47T09:00",
        "2026-11-21T24:00:01Z", "2026-11-21T24:00:01.000Z", "2026-11-21T25:00Z", "2026-11-21T09:60:00Z",
        "2026-11-21T09:00:61Z", "2026-11-21T09.5:05.000Z", "2026-02-29", "2026-13-01", "2026-00-10", "0000-01-01",
        "2026-366", "2026-000", "2026-W54", "2026-W00", "2026-W47-8", "1969-12-31T23:59:59.999Z",
        "1970-01-01T00:00:00+00:01", "10000-01-01", "9999-12-31T23:59:59.999-00:01", "9999-12-31T24:00",
        "2026-11-21T09:00:00.120+24:00", "2026-11-21T09:00:00+01:60", "2026-11-21T09:00:00.120Z ", "\n2026-11-21",
        "２026-11-21", "2026-11-21T09:00:0٣.120Z", "2026-11-21T09:00:00.12٣Z", "2026-11-21T09:00:00.120 Z",
        "+2026-11-21", "2026-11-21X09:00:00.120Z", "-1", "-1795251600", "1e300", "1795251600120000", "1" * 101, "0x1",
        "1795251600 ", "01", "1.", ".5", "NaN", "Infinity",
    ],
)  # fmt: skip
def test_everything_else_is_unreadable(text: str) -> None:
    assert read_time_ms(text) is None


@given(st.integers(0, LAST))
def test_a_written_time_is_read_back(ms: int) -> None:
    assert read_time_ms(format_iso_utc(ms)) == ms
    assert read_time_ms(format_iso_utc(ms)) == ms  # now from the minutes that are remembered


@given(
    st.one_of(
        st.from_regex(
            r"[0-9]{4}-[01][0-9]-[0-3][0-9]([Tt ][0-2][0-9]:[0-6][0-9](:[0-6][0-9](\.[0-9]{1,5})?)?Z?)?", fullmatch=True
        ),
        st.from_regex(r"20[0-9]{2}-0[1-9]-[0-2][0-9]T[01][0-9]:[0-5][0-9]:[0-6][0-9]\.[0-9]{3}[Zz+]", fullmatch=True),
        st.text(alphabet="0123456789-:.TZ+ ,We", max_size=30),
    )
)  # fmt: skip
def test_any_text_is_read_as_the_oracle_reads_it(text: str) -> None:
    assert read_time_ms(text) == read_time(text)


@pytest.mark.parametrize(
    ("number", "ms"),
    [
        ("1795251600", NINE - 120),
        ("1795251600120", NINE),
        ("20261121", 20_261_121_000),  # a date only as text
        ("2026", 2_026_000),
        ("1.7952516001209e9", NINE),
        ("99999999999.9999", 99_999_999_999_999),
        ("-1", None),
        ("1e15", None),
        ("253402300799999", LAST),
        ("253402300800000", None),
    ],
)
def test_numbers_are_seconds_below_ten_to_the_eleventh_else_milliseconds(number: str, ms: int | None) -> None:
    assert read_number_ms(number) == ms
    assert read_time(OracleNumber(number)) == ms


def test_the_fast_path_reads_the_same_times() -> None:
    at = datetime(2026, 11, 21, 9, 0, 59, 999_000, UTC)
    for _ in range(2):
        assert read_time_ms("2026-11-21T09:00:59.999Z") == int(at.timestamp() * 1000)
        assert read_time_ms("2026-11-21 09:00:59.999Z") == int(at.timestamp() * 1000)
