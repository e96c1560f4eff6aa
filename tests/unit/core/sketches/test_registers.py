"""The union of sketches is the sketch of the union of their persons; invalid sketches are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtaplatform.core.sketches.hyperloglog import HEADER, REGISTERS, hyperloglog
from rtaplatform.core.sketches.registers import count, read_registers, unite
from tests.examples import count_examples

PERSONS = st.lists(st.binary(min_size=8, max_size=8), max_size=40)
ZEROS = bytes([0x7F, 0xFF])  # one run of all registers


def make_sparse(body: bytes) -> bytes:
    return HEADER[:4] + b"\x01" + HEADER[5:] + body


def list_ranks(body: bytes) -> list[int]:
    united = unite([read_registers([make_sparse(body)], [0])], np.array([0]), 1)
    return [int(rank) for rank in united[0]]


@settings(max_examples=count_examples(60), deadline=None)
@given(st.lists(st.tuples(PERSONS, st.integers(0, 5)), max_size=8), st.integers(1, 3))
def test_the_union_of_sketches_is_the_sketch_of_the_union(crowds: list[tuple[list[bytes], int]], groups: int) -> None:
    """Whether they were read together or apart, row by row or several rows as one."""
    sketches, rows = [hyperloglog(persons) for persons, _ in crowds], [row for _, row in crowds]
    half = len(sketches) // 2
    parts = [read_registers(sketches[:half], rows[:half]), read_registers(sketches[half:], rows[half:])]
    united = unite(parts, np.arange(6) % groups, groups)
    for group in range(groups):
        persons = [person for crowd, row in crowds if row % groups == group for person in crowd]
        alone = unite([read_registers([hyperloglog(persons)], [0])], np.array([0]), 1)
        assert bytes(united[group]) == bytes(alone[0])
        assert count(united[group]) == count(alone[0])


def test_rows_of_no_group_are_left_out() -> None:
    registers = read_registers([hyperloglog([b"persons1"]), hyperloglog([b"persons2"])], [0, 1])
    assert [count(registers_of_row) for registers_of_row in unite([registers], np.array([-1, 0]), 1)] == [1]
    assert unite([], np.array([], dtype=np.int64), 0).shape == (0, REGISTERS)


def test_each_kind_of_run_is_read() -> None:
    """Two long runs in a row, whose second bytes look like the first ones of others; short zeros; values of 1 to 4."""
    body = bytes([0x40, 0x41, 0x40, 0x80, 0x83, 0x00, 0x84, 0x7F - 0x40, 0x41, 0x00])
    zeros = [0] * (0x41 + 1) + [0] * (0x80 + 1)
    ranks = [*zeros, 1, 1, 1, 1, 0, 2, *([0] * 64), *([0] * 257)]
    zero_count = REGISTERS - len(ranks)
    last_run = bytes([0x40 | (zero_count - 1) >> 8, (zero_count - 1) & 255])
    assert list_ranks(body + last_run) == [*ranks, *([0] * zero_count)]
    assert list_ranks(ZEROS) == [0] * REGISTERS
    assert count(unite([], np.array([0]), 1)[0]) == 0


@pytest.mark.parametrize(
    "text", [b"", b"text", HEADER[:4] + b"\x02" + HEADER[5:], make_sparse(ZEROS + ZEROS), make_sparse(b"")]
)
def test_an_invalid_sketch_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="HyperLogLog"):
        read_registers([text], [0])
