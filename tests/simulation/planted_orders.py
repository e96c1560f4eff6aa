"""Bugs of orders, planted one at a time: the simulation must find each. As in planted.py."""

from __future__ import annotations

from typing import Any

from msgspec import structs

from rtaplatform.core.errors import Unavailable
from rtaplatform.core.rollups import BOT_PREFIX
from rtaplatform.process.fold.decode_run import EventRun
from rtaplatform.process.fold.job import DecodedRun, FoldWithPersons
from rtaplatform.process.fold.known_orders import OrderKey
from rtaplatform.store.port import Applied, Delta, Outcome
from tests.simulation.planted import Plain, make_home
from tests.simulation.planted_ports import PlantedWorker, Port
from tests.simulation.scripted import TwoMeetInAnOrder
from tests.simulation.world import World

# Stores ------------------------------------------------------------------------------------------------------------


class OrdersNotCompared(Plain):
    """What another partition has counted is counted again: nobody looks whether the order is there by now."""

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        stored = self.shards[shard].totals.orders
        orders = [
            structs.replace(w, expected_ms=[stored.get(w.project, {}).get(id, -1) for id in w.ids])
            for w in delta.orders
        ]
        return self.apply_really(shard, generation, structs.replace(delta, orders=orders))


class OrdersOutsideTheCall(Plain):
    """Orders are remembered in a call of their own; after a crash between the two they are repeats of nothing."""

    calls = 0

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        if not delta.orders:
            return self.apply_really(shard, generation, delta)
        still = [structs.replace(move, to_row=move.from_row) for move in delta.moves if move.from_row]
        outcome = self.apply_really(shard, generation, Delta(still, orders=delta.orders))
        self.calls += 1
        if not isinstance(outcome, Applied):
            return outcome
        if self.calls % 8 == 0:
            raise Unavailable("redis", "died between orders and totals")
        return self.apply_really(shard, generation, structs.replace(delta, orders=[]))


class OrdersGoByTheClock(Plain):
    """Orders are forgotten by a clock on the wall: here, after so many calls."""

    calls = 0

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        self.calls += 1
        if self.calls % 10 == 0:
            self.shards[shard].totals.orders.clear()
        return self.apply_really(shard, generation, delta)


class RepeatsAreRemembered(Plain):
    """The set of orders takes what a batch has only compared, so the first report is a repeat where it comes again."""

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        outcome = self.apply_really(shard, generation, delta)
        if not isinstance(outcome, Applied):
            for write in delta.orders:
                times = dict(zip(write.ids, write.written_ms, strict=True))
                self.shards[shard].totals.orders.setdefault(write.project, {}).update(times)
        return outcome


# Workers -----------------------------------------------------------------------------------------------------------


class _OrdersOfFold(Port):
    """A job; what its folds say of orders is another thing than it should be."""

    def fold(self, *arguments: Any) -> FoldWithPersons:
        folding = self.target.fold(*arguments)
        assert isinstance(folding, FoldWithPersons)
        self.change(folding._fold)
        return folding

    def change(self, fold: Any) -> None:
        raise NotImplementedError


class _NoneIsARepeat:
    def is_repeat(self, _key: OrderKey, _stream_time_ms: int) -> bool:
        return False


class _AddsAll(_OrdersOfFold):
    def change(self, fold: Any) -> None:
        orders, really = fold._orders, fold._orders.decide

        def decide(query: Any) -> Any:
            if orders._orders_by_minute is None:
                really(query)
                repeats = orders.repeats
                orders.take_back()
                really(_NoneIsARepeat())
                orders.repeats = repeats
            return orders._orders_by_minute

        orders.decide = decide


class RepeatsAddUnits(PlantedWorker):
    """A repeat is told as one, and adds its units and its revenue all the same."""

    job_port = _AddsAll


class _OfEverybody(_OrdersOfFold):
    def change(self, fold: Any) -> None:
        orders = fold._repeats.orders
        really = orders.is_repeat

        def is_repeat(key: OrderKey, stream_time_ms: int) -> bool:
            return bool(really((key[0].removeprefix(BOT_PREFIX), key[1]), stream_time_ms))

        orders.is_repeat = is_repeat


class BotsTakeOrders(PlantedWorker):
    """The order that a bot has reported is counted for nobody else."""

    job_port = _OfEverybody


class _AtTheOrder(Port):
    """A job; a refund has the time of its order, an hour before."""

    def decode(self, *arguments: Any) -> DecodedRun:
        run = self.target.decode(*arguments)
        assert isinstance(run, EventRun)
        for item in run.items:
            event = item.event
            if event is not None and event.name == "Order Refunded":
                event.time_ms -= 3_600_000
        return run


class RefundsGoToTheOrder(PlantedWorker):
    """A refund is counted in the hour of its order, not in its own."""

    job_port = _AtTheOrder


STORES = (OrdersNotCompared, OrdersOutsideTheCall, OrdersGoByTheClock, RepeatsAreRemembered)
WORKERS = (RepeatsAddUnits, BotsTakeOrders, RefundsGoToTheOrder)
PLANTS: tuple[type[Any], ...] = (*STORES, *WORKERS)
SCRIPTED: dict[type[Any], type[World]] = {OrdersNotCompared: TwoMeetInAnOrder}


def make_planted_world(plant: type[Any], seed: int) -> World:
    """The world of a seed with the plant in it."""
    world = SCRIPTED.get(plant, World)
    return world(seed, home=make_home(plant)) if plant in STORES else world(seed, worker=plant)
