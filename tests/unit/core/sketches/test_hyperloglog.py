"""Registers of persons, compared with a second implementation of the definition."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtaplatform.core.sketches.hyperloglog import BYTES, REGISTERS, hyperloglog

M = 0xC6A4A7935BD1E995
MASK = 2**64 - 1


def murmur64a(data: bytes, seed: int = 0xADC83B19) -> int:
    h = seed ^ (len(data) * M & MASK)
    for at in range(0, len(data), 8):
        k = int.from_bytes(data[at : at + 8], "little") * M & MASK
        k = (k ^ k >> 47) * M & MASK
        h = (h ^ k) * M & MASK
    h = (h ^ h >> 47) * M & MASK
    return h ^ h >> 47


def compute_registers(persons: set[bytes]) -> dict[int, int]:
    registers: dict[int, int] = {}
    for person in persons:
        index, bits = murmur64a(person) % REGISTERS, f"{murmur64a(person) >> 14:050b}"
        rank = len(bits) - len(bits.rstrip("0")) + 1 if "1" in bits else 51
        registers[index] = max(registers.get(index, 0), rank)
    return registers


def read(sketch: bytes) -> dict[int, int]:
    """The registers above zero: six bits each, the lowest bits of the first byte first."""
    bits = int.from_bytes(sketch[16:], "little")
    return {index: rank for index in range(REGISTERS) if (rank := bits >> 6 * index & 63)}


@given(st.sets(st.binary(min_size=8, max_size=8), max_size=40))
def test_registers_are_as_defined(persons: set[bytes]) -> None:
    sketch = hyperloglog(persons)
    assert len(sketch) == BYTES
    assert sketch[:5] == b"HYLL\0"
    assert sketch[15] & 0x80, "a cached count would be believed"
    assert read(sketch) == compute_registers(persons)


def test_many_persons_and_some_twice() -> None:
    persons = [random.Random(1).randbytes(8) for _ in range(3)] + [n.to_bytes(8, "big") for n in range(20_000)]
    assert read(hyperloglog(persons * 2)) == compute_registers(set(persons))


def test_a_hash_without_set_bits_has_the_last_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtaplatform.core.sketches.hyperloglog._murmur64a", lambda words: words)
    persons = [high_bits << 14 | index for index, high_bits in ((5, 0), (6, 1), (7, 2**49))]
    assert read(hyperloglog(person.to_bytes(8, "little") for person in persons)) == {5: 51, 6: 1, 7: 50}
