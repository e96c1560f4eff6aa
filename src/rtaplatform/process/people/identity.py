"""Which person an id stands for.   Pure.   Stage 3 of 6.

A user is always a person. An anonymous id is a person as long as no user is known to it; then it is an *alias*: its
events are the user's. The user whose link was read first is the heir: he takes the history of the id. Another user on
the same id takes the events from the time of his own link on.
"""

from __future__ import annotations

from bisect import bisect_right

from msgspec import Struct, structs

LINKS_MAX = 8  # of one anonymous id; of more the oldest are forgotten, and the heir takes their events


class Alias(Struct, frozen=True, array_like=True, tag=1):
    """An anonymous id that has users. `links`: from which time on it is whose, ordered by time.

    `newest_ms`: the newest of the events that named no user beside it.
    """

    heir: bytes
    newest_ms: int
    links: list[tuple[int, bytes]]


def find_user(alias: Alias, time_ms: int) -> bytes:
    """The user of an event that names the anonymous id alone."""
    at = bisect_right(alias.links, time_ms, key=_read_time)
    return alias.links[at - 1][1] if at else alias.heir


def with_link(alias: Alias, time_ms: int, user: bytes) -> tuple[Alias, int]:
    """The alias with a link more, and whether it conflicts: 1 where events may have been given to another user before.

    That is so where a later link of another user, or a later event without a user, was read first. What was counted
    then stays as it is.
    """
    links = alias.links
    at = bisect_right(links, time_ms, key=_read_time)
    if at and links[at - 1][1] == user:
        return alias, 0
    later = links[at + 1 :] if at < len(links) and links[at][1] == user else links[at:]
    is_sole = not at and not later
    conflicts = 0 if is_sole else int(bool(later) or alias.newest_ms >= time_ms)
    new_links = [*links[:at], (time_ms, user), *later]
    return structs.replace(alias, links=new_links[-LINKS_MAX:]), conflicts


def _read_time(link: tuple[int, bytes]) -> int:
    return link[0]
