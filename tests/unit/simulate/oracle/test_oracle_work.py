"""The oracle's work on one person grows as the number of events, and not as its square.

Work is the number of instructions that Python executes: it is the same on every machine, however busy that is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

import pytest

from rtaplatform.simulate.oracle.oracle_erased import OracleErased
from rtaplatform.simulate.oracle.oracle_people import Id, OraclePeople, OracleVisit
from rtaplatform.simulate.oracle.origins.oracle_sessions import OracleOrder

EVENTS, TIMES = 100, 8
MORE_THAN_LINEAR = 1.25  # sorting, and what is done once
STEP_MS = 31 * 60_000  # each event is a session of its own
USER: Id = ("u", "u-1")
WEB = ("web", "DE", "phone")
ORDER = OracleOrder(1, 10_000, 0)


def count_instructions(work: Callable[[], object]) -> int:
    """Run it, and return how many instructions it took."""
    count, before = 0, sys.gettrace()

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return trace

    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def make_visit(number: int, user: Id | None, anonymous: Id | None) -> OracleVisit:
    return OracleVisit(number * STEP_MS, "Order Completed", WEB, user, anonymous, order=ORDER)


def visit_on_one_device(events: int) -> Iterable[OracleVisit]:
    """One device that is linked long after its events."""
    yield from (make_visit(number, None, ("a", "a-1")) for number in range(events))
    yield make_visit(events + 100, USER, ("a", "a-1"))


def visit_on_many_devices(events: int) -> Iterable[OracleVisit]:
    """As many devices as events, all of one user."""
    for number in range(events // 2):
        yield make_visit(2 * number, None, ("a", f"a-{number}"))
        yield make_visit(2 * number + 1, USER, ("a", f"a-{number}"))


def visit_with_many_links(events: int) -> Iterable[OracleVisit]:
    """One device that is linked again and again, with events in between."""
    for number in range(events // 2):
        yield make_visit(2 * number, USER, ("a", "a-1"))
        yield make_visit(2 * number + 1, None, ("a", "a-1"))


def measure_count_of_people(visits: list[OracleVisit]) -> int:
    return count_instructions(lambda: OraclePeople(visits).count_cells())


@pytest.mark.parametrize("make_visits", [visit_on_one_device, visit_on_many_devices, visit_with_many_links])
def test_work_on_one_person_grows_as_the_number_of_events(
    make_visits: Callable[[int], Iterable[OracleVisit]],
) -> None:
    of_few, of_many = (measure_count_of_people([*make_visits(events)]) for events in (EVENTS, EVENTS * TIMES))
    assert of_many <= MORE_THAN_LINEAR * TIMES * of_few


def test_work_on_erasures_does_not_grow_with_the_events_before() -> None:
    def erase_after(events: int) -> int:
        erased = OracleErased()
        for visit in visit_on_one_device(events):
            erased.note(visit)
        return count_instructions(lambda: erased.add("u-1", ["a-2"]))

    assert erase_after(EVENTS * TIMES) == erase_after(EVENTS)
