"""What the page's address, its referrer and its campaign tell of a visit together: the rule for one event.   Pure."""

from __future__ import annotations

from functools import lru_cache

from msgspec import Struct

from rtaplatform.collect.enrich.channels import find_channel, find_host, read_address

ORIGINS_CACHED_MAX = 8_192
CACHED_CHARACTERS_MAX = 1_000  # of all that is given: longer ones are rare, and could fill the memory


class VisitOrigin(Struct, frozen=True):
    """`campaign`: what the address says, with the fields of context.campaign. Empty where nothing is known.

    `referrer_host` is empty for the visit's own site, and so is `channel`, since the visit goes on.
    """

    campaign: dict[str, str] = {}
    referrer_host: str = ""
    channel: str = ""


def find_origin(url: str, referrer: str, source: str, medium: str, *, is_named: bool) -> VisitOrigin:
    """`source` and `medium` are the event's own, which count if it names its campaign (`is_named`)."""
    is_short = len(url) + len(referrer) + len(source) + len(medium) <= CACHED_CHARACTERS_MAX
    find = _find_cached_origin if is_short else _find_origin
    return find(url, referrer, source, medium, is_named)


def _find_origin(url: str, referrer: str, source: str, medium: str, is_named: bool) -> VisitOrigin:
    address, host = read_address(url), find_host(referrer)
    campaign: dict[str, str] = {}
    if not is_named:
        campaign = dict(address.campaign)
        if address.click_source:
            campaign.setdefault("source", address.click_source)
        source, medium = campaign.get("source", ""), campaign.get("medium", "")
    is_own = bool(host) and host == address.host
    other_host = "" if is_own else host
    if is_own and not source and not address.is_paid_click:
        return VisitOrigin(campaign)
    channel = find_channel(other_host, source, medium, is_paid_click=address.is_paid_click)
    return VisitOrigin(campaign, other_host, channel)


_find_cached_origin = lru_cache(maxsize=ORIGINS_CACHED_MAX)(_find_origin)
