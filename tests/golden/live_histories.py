"""Random lives of a subscription: windows that move, rows that come and go, cuts, and rebuilt totals.

Every reducer is tested with them. What is right comes from the engine: the fresh answer to the same question.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from msgspec import Struct

from tests.golden.live_worlds import DST_ENDS, HOUR, MINUTE, Subscriber
from tests.unit.analytics.shop import NOON, PLACE, Happening

QUESTIONS: tuple[tuple[dict[str, Any], ...], ...] = (
    ({"metric": "events", "from": "-4m", "interval": "minute", "breakdown": ["source"]}, {"metric": "online"}),
    ({"metric": "events", "from": "-3h", "interval": "hour", "breakdown": ["source"], "limit": 2},),
    (
        {"metric": "revenue", "from": "-2h", "interval": "hour", "breakdown": ["source", "country"]},
        {"metric": "visitors", "from": "-5h", "interval": "hour", "compare": "previous_period"},
        {"metric": "average_order_value", "from": "-3h", "interval": "hour"},
    ),
)
STARTS = (NOON + 30_000, DST_ENDS - HOUR)


class Turn(Struct, frozen=True):
    """What happens between two looks at the subscription, and what the client does at the end."""

    pass_ms: int
    happenings: tuple[tuple[int, dict[str, Any]], ...]  # each: so long ago, and the fields of the event
    is_rebuilt: bool
    end: str  # hear: the client is told. miss: it is away. resume, lose: it comes back, with its version or without.


class History(Struct, frozen=True):
    start_ms: int
    queries: tuple[dict[str, Any], ...]
    turns: tuple[Turn, ...]


_PAST = st.one_of(st.integers(0, 5 * MINUTE), st.integers(0, 8 * HOUR))
_FIELDS = st.fixed_dictionaries(
    {
        "source": st.sampled_from(("web", "ios", "server")),
        "country": st.sampled_from(("DE", "FR")),
        "person": st.sampled_from("abc"),
        "order": st.integers(0, 3),
    }
)
_TURNS = st.builds(
    Turn,
    pass_ms=st.one_of(st.integers(0, 3 * MINUTE), st.integers(0, 6 * HOUR)),
    happenings=st.lists(st.tuples(_PAST, _FIELDS), max_size=4).map(tuple),
    is_rebuilt=st.sampled_from((False, False, False, False, True)),
    end=st.sampled_from(("hear", "hear", "miss", "resume", "lose")),
)
HISTORIES = st.builds(
    History,
    start_ms=st.sampled_from(STARTS),
    queries=st.sampled_from(QUESTIONS),
    turns=st.lists(_TURNS, min_size=1, max_size=8).map(tuple),
)


async def live_through(history: History) -> Subscriber:
    """Return the subscriber, with each message and the fresh answers after it. It has heard at least one message."""
    client, generation = Subscriber(history.start_ms, *history.queries), 1
    await client.hear()
    for turn in history.turns:
        client.shop.clock.at_ms += turn.pass_ms
        if turn.is_rebuilt:
            topics = {"rta.events.web": PLACE.topic_id}
            names = f"g{generation}", f"g{generation + 1}"
            client.shop.store.begin(0, expected=names[0], generation=names[1], topics=topics, starts={})
            client.shop.offset, generation = 0, generation + 1
        client.shop.take(
            [_make_happening(client.shop.clock.at_ms - ago_ms, **fields) for ago_ms, fields in turn.happenings]
        )
        match turn.end:
            case "miss":
                await client.miss()
                continue
            case "resume":
                client.resume()
            case "lose":
                client.lose_version()
        await client.hear()
    return client


def _make_happening(at_ms: int, *, order: int, **fields: Any) -> Happening:
    if not order:
        return Happening(at_ms, **fields)
    return Happening(at_ms, event="Order Completed", product="p-1", revenue=order * 125_001, **fields)
