"""Sketches of random persons count within the error that every answer states."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from rtaplatform.core.query import SKETCH_ERROR
from rtaplatform.core.sketches.hyperloglog import hyperloglog
from rtaplatform.core.sketches.registers import count, read_registers, unite
from rtaplatform.operate.reconcile.compared_totals import SKETCH_ERROR_MAX

SKETCHES = 100
P95_MAX = 2 * SKETCH_ERROR  # an answer states one standard deviation


def count_persons(persons: list[bytes]) -> int:
    """As an answer does: through the sketch's own format and a union."""
    return count(unite([read_registers([hyperloglog(persons)], [0])], np.array([0]), 1)[0])


@pytest.mark.parametrize("persons", [1_000, 5_000, 20_000])
def test_a_hundred_sketches_count_within_the_stated_error(persons: int) -> None:
    random = Random(1)
    errors = sorted(
        abs(count_persons([random.randbytes(8) for _ in range(persons)]) / persons - 1) for _ in range(SKETCHES)
    )
    assert errors[SKETCHES * 95 // 100 - 1] <= P95_MAX
    assert errors[-1] <= SKETCH_ERROR_MAX
