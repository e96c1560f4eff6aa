"""Query → the exact period it is answered for, cut into tiles.   Stage 5 of 6, pure.

`from` is rounded down and `to` up to the smallest bucket kept for the period. With a comparison the period
before is tiled the same way, exactly as long; where only coarser buckets reach back so far, both take those.
"""

from __future__ import annotations

from functools import lru_cache

from msgspec import Struct

from rtaplatform.analytics import calendar
from rtaplatform.analytics.tiling import Tile, finest_kept, kept_from, tile
from rtaplatform.analytics.times import resolve, shown
from rtaplatform.core.buckets import DAY_MS, MINUTE_MS, Kind
from rtaplatform.core.errors import InvalidParameter
from rtaplatform.core.query import POINTS_MAX, Anchor, Query
from rtaplatform.store.port import Project

RANGE_DAYS_MAX = 3_660
AHEAD_MS_MAX = DAY_MS
KEPT = {Kind.MINUTE: "48 hours", Kind.HOUR: "60 days", Kind.DAY: "400 days"}
NAMES = {Kind.MINUTE: "minute", Kind.HOUR: "hour", Kind.DAY: "day"}


class Span(Struct, frozen=True):
    """One point's bucket: its start, in minutes since 1970, and the tiles of the part inside the period."""

    start: int
    tiles: tuple[Tile, ...]


class Period(Struct, frozen=True):
    """[start, end) in minutes since 1970. `tiles`: those of all spans. `previous` None: not asked for, or not kept."""

    start: int
    end: int
    zone: str
    spans: tuple[Span, ...]
    tiles: tuple[Tile, ...]
    previous: tuple[Tile, ...] | None
    is_kept: bool


class Scene(Struct, frozen=True):
    """What a period is cut for: the question, its zone, the project's, the clock, and the kinds that exist."""

    query: Query
    zone: str
    week_start: str
    home: str
    now_ms: int
    kinds: tuple[Kind, ...]


@lru_cache(maxsize=256)
def cut_period(query: Query, project: Project, now_ms: int, kinds: tuple[Kind, ...]) -> Period:
    """Raises `InvalidParameter` where no buckets make up what is asked for."""
    scene = Scene(
        query,
        query.timezone or project.zone,
        query.week_start or project.week_start,
        project.zone,
        now_ms,
        tuple(kinds),
    )
    start_ms, end_ms = _instants(scene)
    finest = finest_kept(start_ms // MINUTE_MS, now_ms, scene.kinds)
    for grain in scene.kinds[scene.kinds.index(finest) :]:
        _require_grain(scene, grain)
        period = _cut(scene, grain, start_ms, end_ms)
        if period is not None:
            return period
    raise InvalidParameter(
        "The period before is no longer kept in buckets of this size.", field="compare",
        hint="Use a shorter or a whole-day period.",
    )  # fmt: skip


def _instants(scene: Scene) -> tuple[int, int]:
    query = scene.query
    start = resolve(query.start, scene.zone, scene.now_ms)
    end = resolve(query.end, scene.zone, scene.now_ms)
    problem = _problem(start, end, scene)
    if problem is not None:
        field, detail, allowed, hint = problem
        raise InvalidParameter(detail, field=field, allowed=allowed, hint=hint)
    # A clock's `now` lies inside the bucket in progress, also in its first moment.
    return start, end + 1 if query.end.anchor is Anchor.NOW else end


def _problem(start: int, end: int, scene: Scene) -> tuple[str, str, str, str] | None:
    latest = shown((scene.now_ms + AHEAD_MS_MAX) // MINUTE_MS, scene.zone)
    if start < 0:
        return "from", "`from` is before 1970.", "1970-01-01T00:00:00Z and later", "For example from=-24h."
    if end > scene.now_ms + AHEAD_MS_MAX + MINUTE_MS:
        return "to", "`to` is more than a day ahead.", f"up to {latest}", "The default is now."
    if start >= end:
        return "from", "`from` is not before `to`.", "a time before `to`", "`to` is now where it is left out."
    if end - start > RANGE_DAYS_MAX * DAY_MS:
        return "from", "The period is over 10 years long.", f"at most {RANGE_DAYS_MAX} days", "Use a shorter period."
    return None


def _require_grain(scene: Scene, grain: Kind) -> None:
    interval = scene.query.interval
    finest = {"minute": Kind.MINUTE, "hour": Kind.HOUR}.get(interval, Kind.DAY)
    kinds = (Kind.MINUTE, Kind.HOUR, Kind.DAY)
    if kinds.index(grain) > kinds.index(finest):
        why = f"kept for {KEPT[finest]} only" if finest in scene.kinds else "not kept for persons by dimension"
        raise InvalidParameter(
            f"Buckets of one {interval} are {why}, and this period (or the one it is compared with) begins earlier."
            if finest in scene.kinds
            else f"Buckets of one {interval} are {why}.",
            field="interval", allowed=[i for i in ("hour", "day", "week", "month", "none") if i != interval],
            hint=f"Use interval={NAMES[grain]}, or a later `from`.",
        )  # fmt: skip


def _cut(scene: Scene, grain: Kind, start_ms: int, end_ms: int) -> Period | None:
    start = calendar.floor_to_kind(start_ms // MINUTE_MS, grain, scene.home)
    last = -(-end_ms // MINUTE_MS)
    end = calendar.floor_to_kind(last, grain, scene.home)
    end = end if end == last else calendar.next_of_kind(end, grain, scene.home)
    previous: list[Tile] | None = None
    is_compared = scene.query.compare is not None
    if is_compared:
        before = _period_before(scene, start, end)
        previous = _tile(scene, *before)
        if previous is None:
            return None
        is_compared = before[0] >= kept_from(Kind.DAY, scene.now_ms) - 24 * 60
    spans = _spans(scene, grain, start, end)
    is_kept = start > kept_from(Kind.DAY, scene.now_ms) - 24 * 60
    tiles = tuple(each for span in spans for each in span.tiles)
    return Period(start, end, scene.zone, spans, tiles, tuple(previous or ()) if is_compared else None, is_kept)


def _period_before(scene: Scene, start: int, end: int) -> tuple[int, int]:
    zone = scene.zone
    if scene.query.compare == "previous_year":
        return calendar.year_before(start, zone), calendar.year_before(end, zone)
    if calendar.is_midnight(start, zone) and calendar.is_midnight(end, zone):
        first, last = calendar.local_date(start, zone), calendar.local_date(end, zone)
        return calendar.midnight(first - (last - first), zone), start
    return start - (end - start), start


def _spans(scene: Scene, grain: Kind, start: int, end: int) -> tuple[Span, ...]:
    return tuple(Span(at, _require_tiles(scene, grain, low, high)) for at, low, high in _buckets(scene, start, end))


def _buckets(scene: Scene, start: int, end: int) -> list[tuple[int, int, int]]:
    """Per point: its start, and the part of it inside the period."""
    interval = scene.query.interval
    if interval == "none":
        return [(start, start, end)]
    if (end - start) // calendar.LEAST_MINUTES[interval] > POINTS_MAX * 1.1:
        raise _too_many_points(interval)
    found: list[tuple[int, int, int]] = []
    at = calendar.floor_to(start, interval, scene.zone, scene.week_start)
    while at < end:
        following = calendar.next_start(at, interval, scene.zone, scene.week_start)
        found.append((at, max(at, start), min(following, end)))
        at = following
    if len(found) > POINTS_MAX:
        raise _too_many_points(interval)
    return found


def _too_many_points(interval: str) -> InvalidParameter:
    return InvalidParameter(
        f"With interval={interval} the period has more than {POINTS_MAX} points.", field="interval",
        allowed=f"at most {POINTS_MAX} points", hint="Use a longer interval or a shorter period.",
    )  # fmt: skip


def _require_tiles(scene: Scene, grain: Kind, start: int, end: int) -> tuple[Tile, ...]:
    found = _tile(scene, start, end)
    if found is None:
        raise InvalidParameter(
            f"In the zone {scene.zone} the buckets of one {scene.query.interval} do not fall on the {NAMES[grain]}s of "
            f"{scene.home}, which is all that is kept of this period (minutes: 48 hours, hours: 60 days).",
            field="timezone", allowed=[scene.home], hint=f"Use timezone={scene.home}, or a later `from`.",
        )  # fmt: skip
    return tuple(found)


def _tile(scene: Scene, start: int, end: int) -> list[Tile] | None:
    return tile(start, end, zone=scene.home, now_ms=scene.now_ms, kinds=scene.kinds)
