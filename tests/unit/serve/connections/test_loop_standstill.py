"""The longest standstill of the last minute."""

from __future__ import annotations

from rtaplatform.serve.connections.loop_standstill import WINDOW_SECONDS, LoopStandstill


def test_the_longest_standstill_of_the_last_minute_is_shown() -> None:
    clock = [0.0]
    standstill = LoopStandstill(lambda: clock[0])
    assert standstill.find_longest() == 0
    for at, late in ((0.0, 0.2), (10.0, 3.0), (20.0, 0.5), (30.0, 0.1)):
        clock[0] = at
        standstill.note(late)
    assert standstill.find_longest() == 3.0
    clock[0] = 10.0 + WINDOW_SECONDS + 1
    assert standstill.find_longest() == 0.5
    clock[0] = 200.0
    assert standstill.find_longest() == 0
