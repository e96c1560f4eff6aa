"""Bytes under way: bounded in all and per address; who makes no progress loses its place."""

from __future__ import annotations

import asyncio

import pytest

from rtaplatform.serve.connections.byte_budget import (
    FREE_BYTES,
    STALLED_SECONDS,
    BudgetShare,
    ByteBudget,
    ByteBudgetSpent,
)

MB = 1 << 20


def make_budget(*, wait_seconds: float = 0.0, waiting_max: int = 10) -> ByteBudget:
    return ByteBudget("tests", 8 * MB, wait_seconds=wait_seconds, waiting_max=waiting_max)


async def test_more_than_the_limit_is_refused() -> None:
    all_held = make_budget()
    await all_held.take(BudgetShare("a"), 4 * MB)
    await all_held.take(BudgetShare("b"), 4 * MB)
    with pytest.raises(ByteBudgetSpent):
        await all_held.take(BudgetShare("c"), FREE_BYTES + 1)
    await all_held.take(BudgetShare("c"), FREE_BYTES)


async def test_an_address_may_hold_half_of_the_budget() -> None:
    all_held = make_budget()
    await all_held.take(BudgetShare("a"), 3 * MB)
    with pytest.raises(ByteBudgetSpent):
        await all_held.take(BudgetShare("a"), 2 * MB)
    await all_held.take(BudgetShare("b"), 2 * MB)


async def test_a_single_request_may_exceed_the_budget() -> None:
    await make_budget().take(BudgetShare("a"), 50 * MB)


async def test_a_share_grows_by_the_difference() -> None:
    all_held, share = make_budget(), BudgetShare("a")
    for total in (1 * MB, 2 * MB, 4 * MB, 4 * MB):
        await all_held.take(share, total)
    all_held.release(share)
    await all_held.take(BudgetShare("a"), 4 * MB)


async def test_a_waiting_request_goes_on_when_another_is_done() -> None:
    all_held, first = make_budget(wait_seconds=5), BudgetShare("a")
    await all_held.take(first, 8 * MB)
    waiting = asyncio.create_task(all_held.take(BudgetShare("b"), 2 * MB))
    await asyncio.sleep(0)
    assert not waiting.done()
    all_held.release(first)
    await waiting


async def test_a_stalled_request_is_dropped_for_a_waiting_one() -> None:
    dropped: list[str] = []
    all_held = make_budget(wait_seconds=5)
    stalled, complete = BudgetShare("a", drop=lambda: dropped.append("a")), BudgetShare("b")
    for holding in (stalled, complete):
        await all_held.take(holding, 4 * MB)
        holding.progressed_at -= STALLED_SECONDS + 1
    await all_held.take(BudgetShare("c"), 2 * MB)
    assert dropped == ["a"]


async def test_the_number_of_waiting_requests_is_limited() -> None:
    all_held = make_budget(wait_seconds=5, waiting_max=0)
    await all_held.take(BudgetShare("a"), 8 * MB)
    with pytest.raises(ByteBudgetSpent):
        await all_held.take(BudgetShare("b"), 2 * MB)
