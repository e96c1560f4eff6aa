"""Ways to break a message, which records and calls of SDKs have in common.   simulate: [breakages] → malformed.

Each function takes a good message, or returns a function that does, and gives the bytes of a broken one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rtaplatform.simulate.shop.records import encode

MessageFields = dict[str, Any]
Breakage = Callable[[MessageFields], bytes]


def put_fields(**fields: Any) -> Breakage:
    return lambda message: encode({**message, **fields})


def drop_fields(*fields: str) -> Breakage:
    return lambda message: encode({name: value for name, value in message.items() if name not in fields})


def break_order(**properties: Any) -> Breakage:
    return put_fields(type="track", event="Order Completed", properties=properties)


def nest(depth: int) -> Any:
    """Return a value that lies so many objects deep."""
    value: Any = 1
    for _ in range(depth):
        value = {"in": value}
    return value
