"""Three months of few people, as records in the order of their arrival: late, repeated and out of order.

Whatever the order in which half a day's records are read, nobody's state depends on it:
- Pages come at most 10 hours late, and servers tell of at most 30 days ago. That is within what persons take.
- What comes too late is so for certain: its person has a newer event from an earlier half-day, by more than 24 hours
  for sessions and by more than 33 days for active days.
- A device rests for three days before its owner logs in on it, but for the visit that the login is part of. So its
  history and its owner's have no sessions that might be one, and are far enough apart to stay two.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import groupby
from random import Random
from typing import Any, NamedTuple

from rtaplatform.simulate.shop.records import SimulatedRecord, write_time

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
PORTION_MS = DAY // 2  # what is read in any order
FIRST_MS = 1_787_184_000_000  # 2026-08-20; the clocks of Berlin and Lord Howe change on the way
DAYS = 92
END_MS = FIRST_MS + DAYS * DAY
REST_DAYS = 3
TOPICS = {"web": "rta.events.web", "ios": "rta.events.mobile", "server": "rta.events.server"}
NAMES = ("Product Viewed", "Product Viewed", "Product Added", "Checkout Started", "Order Completed")
GAPS_MS = (0, SECOND, 4 * MINUTE, 29 * MINUTE, 30 * MINUTE, 30 * MINUTE + 1, 31 * MINUTE)
PLACEHOLDERS = ("undefined", "null", " None ", "[object Object]", "0", "00000000-0000-0000-0000-000000000000")
ORIGINS: tuple[dict[str, Any], ...] = (
    {}, {"channel": "direct"}, {"channel": "email", "campaign": {"source": "may", "name": "sale"}},
    {"channel": "search", "referrer": {"host": "search.example"}},
)  # fmt: skip


class Device(NamedTuple):
    """`user` logs in on it on `login_day`; a stranger's has neither."""

    name: str
    first_day: int
    user: str = ""
    login_day: int = DAYS + 1


class Arrival(NamedTuple):
    """An event: when it comes, when it was, and whom it names."""

    at_ms: int
    time_ms: int
    user: str
    device: str
    fields: dict[str, Any]


def draw_portions(seed: int, *, too_late: int) -> Iterator[list[SimulatedRecord]]:
    """The records, half a day at a time. So many of the events come too late for their persons."""
    rng = Random(f"months {seed}")
    devices = list(_draw_devices(rng))
    arrivals = [a for device in devices for day in range(device.first_day, DAYS) for a in _visit(rng, device, day)]
    arrivals += [_tell(rng, f"u{rng.randrange(10)}") for _ in range(60)]
    arrivals += _draw_late_arrivals(rng, devices, sorted(arrivals, key=_find_arrival), too_late)
    arrivals += [a._replace(at_ms=a.at_ms + rng.randrange(6 * HOUR)) for a in rng.sample(arrivals, len(arrivals) // 12)]
    arrivals = [arrival for arrival in arrivals if arrival.at_ms < END_MS]
    arrivals.sort(key=_find_arrival)
    for _, portion in groupby(arrivals, key=lambda arrival: arrival.at_ms // PORTION_MS):
        yield [_make_record(arrival) for arrival in portion]


def _draw_devices(rng: Random) -> Iterator[Device]:
    for number in range(10):
        for extra in range(rng.choice([1, 2, 3])):
            first_day = rng.randrange(60)
            yield Device(f"d{number}-{extra}", first_day, f"u{number}", first_day + rng.choice([0, 5, 12, 25]))
    for number in range(10):
        yield Device(f"s{number}", rng.randrange(80))


def _visit(rng: Random, device: Device, day: int) -> Iterator[Arrival]:
    """The events of a visit, if there is one on that day."""
    is_login = day == device.login_day
    if not is_login and (rng.random() > 0.2 or device.login_day - REST_DAYS <= day < device.login_day):
        return
    time_ms = FIRST_MS + day * DAY + rng.randrange(18 * HOUR) // MINUTE * MINUTE
    login_at = rng.randrange(3) if is_login else 0
    wait_ms = 0 if is_login or rng.random() < 0.8 else rng.randrange(7 * HOUR)
    source, origin = "ios" if device.name.endswith("1") else "web", rng.choice(ORIGINS)
    for step in range(login_at + rng.choice([1, 1, 2, 3, 5])):
        persona = "device" if day < device.login_day or step < login_at else rng.choice(["both", "user", "device"])
        persona = "both" if is_login and step == login_at else persona
        user = "" if persona == "device" else device.user
        if not user and rng.random() < 0.05:
            user = rng.choice(PLACEHOLDERS)
        fields = _draw_fields(rng, source) | {"origin": origin}
        named = "" if persona == "user" else device.name
        yield Arrival(time_ms + wait_ms + rng.randrange(20 * SECOND), time_ms, user, named, fields)
        time_ms += rng.choice(GAPS_MS)


def _tell(rng: Random, user: str) -> Arrival:
    """A server tells of something, most often of days ago."""
    at_ms = FIRST_MS + rng.randrange(31 * DAY, DAYS * DAY)
    fields = _draw_fields(rng, "server") | {"name": "Product Viewed"}
    return Arrival(at_ms, at_ms - rng.choice([0, rng.randrange(30 * DAY)]), user, "", fields)


def _draw_late_arrivals(
    rng: Random, devices: list[Device], arrivals: list[Arrival], count_max: int
) -> Iterator[Arrival]:
    known_devices = [device for device in devices if device.user]
    count = 0
    while count < count_max:
        device = rng.choice(known_devices)
        at_ms = FIRST_MS + rng.randrange((device.login_day + 1) * DAY, DAYS * DAY)
        back_ms = rng.choice([rng.randrange(3 * DAY, 25 * DAY), rng.randrange(37 * DAY, 60 * DAY)])
        before_ms = at_ms // PORTION_MS * PORTION_MS
        newest_ms = max(a.time_ms for a in arrivals if a.user == device.user and a.at_ms < before_ms)
        if newest_ms - (at_ms - back_ms) > (34 * DAY if back_ms > 30 * DAY else 25 * HOUR):
            count += 1
            names = rng.choice([(device.user, ""), ("", device.name)])
            yield Arrival(at_ms, at_ms - back_ms, *names, _draw_fields(rng, "web"))


def _draw_fields(rng: Random, source: str) -> dict[str, Any]:
    return {
        "id": f"m{rng.getrandbits(60)}", "name": rng.choice(NAMES), "source": source,
        "country": rng.choice(["DE", "AT"]), "page": rng.choice(["/a", "/b", "/c"]), "price": rng.randrange(1, 90),
    }  # fmt: skip


def _make_record(arrival: Arrival) -> SimulatedRecord:
    of = arrival.fields
    message: dict[str, Any] = {
        "projectId": "demo", "type": "track", "event": of["name"], "messageId": of["id"], "source": of["source"],
        "timestamp": write_time(arrival.time_ms), "properties": {"product_id": "p-1", "price": of["price"]},
        "context": {
            "location": {"country": of["country"]}, "device": {"type": "phone"}, "page": {"path": of["page"]},
            **of.get("origin", {}),
        },
    }  # fmt: skip
    message |= {"userId": arrival.user} if arrival.user else {}
    message |= {"anonymousId": arrival.device} if arrival.device else {}
    key = f"demo:{arrival.device or arrival.user}".encode()
    return SimulatedRecord(TOPICS[of["source"]], key, json.dumps(message).encode(), arrival.at_ms)


def _find_arrival(arrival: Arrival) -> int:
    return arrival.at_ms


def sort_by_partition(portions: Iterable[list[Any]], *, is_reversed: bool) -> Iterator[Any]:
    """Another order in which half-days may be read: one partition after the other."""
    for portion in portions:
        yield from sorted(portion, key=lambda record: (record.topic, record.partition), reverse=is_reversed)
