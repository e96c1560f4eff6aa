"""How a client's SDK sends ids: some in other ways than usual, a few with texts that stand for a lost value."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

PLACEHOLDERS = (
    "undefined",
    "null",
    "None",
    "[object Object]",
    "anonymousId",
    "0",
    "00000000-0000-0000-0000-000000000000",
)
_WITHOUT_USER = 0.006  # clients that send a placeholder as userId until somebody logs in
_WITHOUT_DEVICE = 0.002  # clients that send one as anonymousId
_USER_ID_ALONE = 0.1
_ALIASES = 0.1


class SdkHabits(NamedTuple):
    """`lost_user_id`: sent as userId while nobody is logged in; None: nothing is sent.

    `sends_both`: after a login events carry the anonymousId beside the userId. `aliases`: a login is told by an alias
    call too.
    """

    lost_user_id: str | None
    sends_both: bool
    aliases: bool


def draw_habits(rng: Random) -> SdkHabits:
    """Return the habits of a new client."""
    lost_user_id = _draw_placeholder(rng) if rng.random() < _WITHOUT_USER else None
    return SdkHabits(lost_user_id, rng.random() >= _USER_ID_ALONE, rng.random() < _ALIASES)


def draw_anonymous_id(rng: Random) -> str:
    """Return the id of a new client, which a few have lost."""
    return _draw_placeholder(rng) if rng.random() < _WITHOUT_DEVICE else f"a-{rng.getrandbits(48):012x}"


def _draw_placeholder(rng: Random) -> str:
    return PLACEHOLDERS[int(rng.random() * len(PLACEHOLDERS))]
