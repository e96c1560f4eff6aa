"""The `context` of an event: where its visitor is, comes from, and what the visitor uses.   Stage 3 of 6.   Pure.

The collector has written most of it (collect/steps/enrichment.py). What lacks is empty text.
"""

from __future__ import annotations

from msgspec import Struct

from rtaplatform.core.rollups import ACQUISITION, VISIT_DIMENSIONS, make_field
from rtaplatform.core.values.dimensions import CACHED_CHARACTERS_MAX, as_dimension

CACHED_VISITS_MAX = 65_536
CACHED_VISIT_CHARACTERS_MAX = 4 * CACHED_CHARACTERS_MAX


class Location(Struct, gc=False):
    country: str | None = None
    region: str | None = None


class Device(Struct, gc=False):
    type: str | None = None


class Software(Struct, gc=False):
    name: str | None = None


class SeenPage(Struct, gc=False):
    path: str | None = None


class ReferringSite(Struct, gc=False):
    host: str | None = None


class Campaign(Struct, gc=False):
    source: str | None = None
    medium: str | None = None
    name: str | None = None


class Context(Struct, gc=False):
    location: Location | None = None
    device: Device | None = None
    os: Software | None = None
    browser: Software | None = None
    page: SeenPage | None = None
    referrer: ReferringSite | None = None
    campaign: Campaign | None = None
    channel: str | None = None
    locale: str | None = None


class EventVisit(Struct, frozen=True, eq=False, gc=False):
    """Where an event's visitor comes from and what the visitor uses. Equal ones are usually the same object.

    `acquisition` is the suffix of its field in the rollup of that name. `technology` and `places` are parts of theirs:
    the device follows the one, and the country comes before the other. `origin` is the acquisition, or empty if
    nothing is known of it. `sketches`: the dimensions with a value.
    """

    acquisition: str
    technology: str
    places: str
    origin: str
    sketches: tuple[tuple[str, str], ...]


_VisitKey = tuple[str | None, ...]
_NO_CAMPAIGN = Campaign()


def read_visit(context: Context) -> EventVisit:
    campaign, os, browser = context.campaign or _NO_CAMPAIGN, context.os, context.browser
    referrer, location = context.referrer, context.location
    key = (
        campaign.source,
        campaign.medium,
        campaign.name,
        referrer.host if referrer else None,
        context.channel,
        os.name if os else None,
        browser.name if browser else None,
        location.region if location else None,
        context.locale,
    )
    return _cached_visits.get(key) or _make_visit(key)


def _make_visit(key: _VisitKey) -> EventVisit:
    *texts, locale = key
    source, medium, campaign, referrer, channel, os, browser, region = map(as_dimension, texts)
    language = extract_language(locale)
    values = (source, medium, campaign, referrer, channel, os, browser, region, language)
    acquisition = make_field("", source, medium, campaign, referrer, channel)
    visit = EventVisit(
        acquisition,
        make_field("", os, browser, ""),
        make_field("", region, language),
        acquisition if any(values[: len(ACQUISITION.dimensions)]) else "",
        tuple((name, value) for name, value in zip(VISIT_DIMENSIONS, values, strict=True) if value),
    )
    if sum(len(text or "") for text in key) <= CACHED_VISIT_CHARACTERS_MAX:
        if len(_cached_visits) >= CACHED_VISITS_MAX:
            _cached_visits.clear()
        _cached_visits[key] = visit
    return visit


def extract_language(locale: str | None) -> str:
    """The language of a locale, as `de` of `de-CH` and of `DE_ch`: the text before the first - or _, in lower case."""
    if not locale:
        return ""
    return as_dimension(locale.replace("_", "-").partition("-")[0].lower())


_cached_visits: dict[_VisitKey, EventVisit] = {}
NO_VISIT = read_visit(Context())
