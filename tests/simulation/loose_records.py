"""Records without a time of their own, or with one far from stream time, among those of visitors; and their repeats.

Many own times lie where an id is written to another place than before, or looked for in another, so that stream time
passes them between a record and its repeat.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random

from rtaplatform.simulate.shop.records import SimulatedRecord, encode, write_time

SHARE, REPEATS, REPEATED_OF = 0.3, 0.6, 20
EDGES_MS = [hours * 3_600_000 for hours in (-73, -72, -48, -47, 0, 1, 25, 26)]
ABSURD = ["2000-01-01T00:00:00Z", "2044-02-29T12:00:00Z", "2099-12-31T23:59:59Z", "1999-01-01", "tomorrow"]


def with_loose_ids(records: Iterator[SimulatedRecord], rng: Random, seconds_apart: float) -> Iterator[SimulatedRecord]:
    """These records, with others between them."""
    sent: list[SimulatedRecord] = []
    for record in records:
        yield record
        if rng.random() < SHARE:
            if sent and rng.random() < REPEATS:
                yield rng.choice(sent)._replace(timestamp=record.timestamp)
            else:
                variants = _make_variants(record, rng, seconds_apart)
                sent = [*sent[-REPEATED_OF:], *variants]
                yield from variants


def _make_variants(record: SimulatedRecord, rng: Random, seconds_apart: float) -> list[SimulatedRecord]:
    """The same event under another id and own time; nothing where it is no event with an id."""
    try:
        message = json.loads(record.value or b"")
    except ValueError:
        return []
    if not isinstance(message, dict) or not isinstance(message.get("messageId"), str):
        return []
    message["messageId"] = f"loose-{rng.getrandbits(40)}"
    message["originalTimestamp"] = rng.choice([None, rng.choice(ABSURD), _find_edge(record, rng, seconds_apart)])
    return [record._replace(value=encode(message))]


def _find_edge(record: SimulatedRecord, rng: Random, seconds_apart: float) -> str:
    apart_ms = int(seconds_apart * 1_000)
    return write_time(record.timestamp + rng.choice(EDGES_MS) + rng.randint(-30 * apart_ms, 30 * apart_ms))
