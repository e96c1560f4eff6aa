"""Query → the exact period it is answered for, cut into tiles.   Stage 5 of 6, pure.

With an interval, `from` becomes the start of its bucket of that interval, so that each point is a whole bucket, but
the last where `to` ends inside it. Otherwise `from` is rounded down to the smallest bucket that is kept for the whole
period. `to` is rounded up to that bucket. The period before is tiled in the same way; where only coarser buckets
reach back so far, both periods take those.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from rtaplatform.analytics.ask.time_expressions import resolve, shown
from rtaplatform.analytics.plan.tiling import Tile, finest_kept, kept_from, tile
from rtaplatform.core.errors import InvalidParameter
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.query import POINTS_MAX, Anchor, Query
from rtaplatform.core.time import calendar
from rtaplatform.core.time.buckets import DAY_MS, MINUTE_MS, BucketKind

RANGE_DAYS_MAX = 3_660
AHEAD_MS_MAX = DAY_MS
KEPT = {BucketKind.MINUTE: "48 hours", BucketKind.HOUR: "60 days", BucketKind.DAY: "400 days"}
NOT_KEPT = "not kept for persons by dimension, or (by product) for 8 days only"
KIND_OF = {"minute": BucketKind.MINUTE, "hour": BucketKind.HOUR, "day": BucketKind.DAY}
NAMES = {BucketKind.MINUTE: "minute", BucketKind.HOUR: "hour", BucketKind.DAY: "day"}


class PointInterval(Struct, frozen=True):
    """One point's bucket: its start, in minutes since 1970, and the tiles of the part inside the period."""

    start: int
    tiles: tuple[Tile, ...]


class Period(Struct, frozen=True):
    """[start, end) in minutes since 1970. `tiles`: those of all spans; `whole`: the fewest that make it up.

    `before` is the period that it is compared with, `previous` its tiles: None where they are not asked for, or no
    longer kept. `reasons` tell a person what is not as asked.
    """

    start: int
    end: int
    zone: str
    spans: tuple[PointInterval, ...]
    tiles: tuple[Tile, ...]
    whole: tuple[Tile, ...]
    before: tuple[int, int] | None
    previous: tuple[Tile, ...] | None
    is_kept: bool
    reasons: tuple[str, ...] = ()


class PeriodRequest(Struct, frozen=True):
    """What a period is cut for: the question, its zone, the project's, the clock, and the kinds that exist."""

    query: Query
    zone: str
    week_start: str
    home: str
    now_ms: int
    kinds: tuple[BucketKind, ...]


def cut_period(query: Query, project: ProjectSettings, now_ms: int, kinds: tuple[BucketKind, ...]) -> Period:
    """Raises `InvalidParameter` where no buckets make up what is asked for."""
    scene = PeriodRequest(
        query,
        query.timezone or project.zone,
        query.week_start or project.week_start,
        project.zone,
        now_ms,
        tuple(kinds),
    )
    start_ms, end_ms = _instants(scene)
    start = _floor_to_interval(scene, start_ms // MINUTE_MS)
    finest = finest_kept(start, scene.home, now_ms, scene.kinds)
    last = -(-end_ms // MINUTE_MS)
    for grain in scene.kinds[scene.kinds.index(finest) :]:
        _require_grain(scene, grain)
        period = _cut(scene, grain, start, last)
        if period is not None:
            is_asked = (period.start, period.end) == _round(scene, finest, start, last)
            return period if is_asked else replace(period, reasons=(_coarser(grain), *period.reasons))
    raise InvalidParameter(
        "The period before is no longer kept in buckets of this size.", field="compare",
        hint="Use a shorter or a whole-day period.",
    )  # fmt: skip


def _instants(scene: PeriodRequest) -> tuple[int, int]:
    query = scene.query
    start = resolve(query.start, scene.zone, scene.now_ms)
    end = resolve(query.end, scene.zone, scene.now_ms)
    problem = _problem(start, end, scene)
    if problem is not None:
        field, detail, allowed, hint = problem
        raise InvalidParameter(detail, field=field, allowed=allowed, hint=hint)
    # A clock's `now` lies inside the bucket in progress, also in its first moment.
    return start, end + 1 if query.end.anchor is Anchor.NOW else end


def _problem(start: int, end: int, scene: PeriodRequest) -> tuple[str, str, str, str] | None:
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


def _require_grain(scene: PeriodRequest, grain: BucketKind) -> None:
    interval = scene.query.interval
    finest = KIND_OF.get(interval, BucketKind.DAY)
    kinds = (BucketKind.MINUTE, BucketKind.HOUR, BucketKind.DAY)
    if kinds.index(grain) > kinds.index(finest):
        why = f"kept for {KEPT[finest]} only" if finest in scene.kinds else NOT_KEPT
        raise InvalidParameter(
            f"Buckets of one {interval} are {why}, and this period (or the one it is compared with) begins earlier."
            if finest in scene.kinds
            else f"Buckets of one {interval} are {why}.",
            field="interval", allowed=[i for i in ("hour", "day", "week", "month", "none") if i != interval],
            hint=f"Use interval={NAMES[grain]}, or a later `from`.",
        )  # fmt: skip


def _floor_to_interval(scene: PeriodRequest, minute: int) -> int:
    interval = scene.query.interval
    return minute if interval == "none" else calendar.floor_to(minute, interval, scene.zone, scene.week_start)


def _cut(scene: PeriodRequest, grain: BucketKind, start: int, last: int) -> Period | None:
    """None where the period before is not made up of buckets of this size."""
    start, end = _round(scene, grain, start, last)
    before = _period_before(scene, start, end)
    previous = None
    if before is not None and _is_kept(before[0], scene):
        previous = _tile(scene, *before)
        if previous is None:
            return None
    spans = _spans(scene, grain, start, end)
    tiles = tuple(each for span in spans for each in span.tiles)
    return Period(
        start, end, scene.zone, spans, tiles,
        whole=tuple(_tile(scene, start, end) or tiles),
        before=before,
        previous=None if previous is None else tuple(previous),
        is_kept=_is_kept(start, scene),
        reasons=_reasons(scene, start, before),
    )  # fmt: skip


def _round(scene: PeriodRequest, grain: BucketKind, start: int, last: int) -> tuple[int, int]:
    """Both ends on buckets of this size; with an interval the start is one already."""
    if scene.query.interval == "none":
        start = calendar.floor_to_kind(start, grain, scene.home)
    end = calendar.floor_to_kind(last, grain, scene.home)
    return start, end if end == last else calendar.next_of_kind(end, grain, scene.home)


def _is_kept(start: int, scene: PeriodRequest) -> bool:
    return start > kept_from(BucketKind.DAY, scene.now_ms) - 24 * 60


def _reasons(scene: PeriodRequest, start: int, before: tuple[int, int] | None) -> tuple[str, ...]:
    reasons = []
    kept = f"nothing is kept for longer than {KEPT[BucketKind.DAY]}"
    if not _is_kept(start, scene):
        reasons.append(f"The period begins too early: {kept}.")
    if before is not None and not _is_kept(before[0], scene):
        reasons.append(f"`previous` is null, since its period begins too early: {kept}.")
    return tuple(reasons)


def _coarser(grain: BucketKind) -> str:
    return f"`from` and `to` are whole {NAMES[grain]}s: the period before is not kept in smaller buckets."


def _period_before(scene: PeriodRequest, start: int, end: int) -> tuple[int, int] | None:
    match scene.query.compare:
        case "previous_year":
            return calendar.previous_year(start, end, scene.zone)
        case "previous_period":
            return calendar.previous_period(start, end, scene.zone)
    return None


def _spans(scene: PeriodRequest, grain: BucketKind, start: int, end: int) -> tuple[PointInterval, ...]:
    buckets = _buckets(scene, start, end)
    kind = KIND_OF.get(scene.query.interval)
    if kind is None or (scene.zone != scene.home and kind is not BucketKind.MINUTE):
        return tuple(PointInterval(low, _require_tiles(scene, grain, low, high)) for low, high in buckets)
    # Each point but the last is a bucket that is kept: there may be thousands.
    last = PointInterval(buckets[-1][0], _require_tiles(scene, grain, *buckets[-1]))
    return (*(PointInterval(low, ((kind, low),)) for low, _ in buckets[:-1]), last)


def _buckets(scene: PeriodRequest, start: int, end: int) -> list[tuple[int, int]]:
    """Per point its start and end. `start` is the start of the first."""
    interval = scene.query.interval
    if interval == "none":
        return [(start, end)]
    if interval == "minute" and end - start <= POINTS_MAX:
        return [(at, at + 1) for at in range(start, end)]
    if (end - start) // calendar.LEAST_MINUTES[interval] > POINTS_MAX * 1.1:
        raise _too_many_points(interval)
    found: list[tuple[int, int]] = []
    at = start
    while at < end:
        following = calendar.next_start(at, interval, scene.zone, scene.week_start)
        found.append((at, min(following, end)))
        at = following
    if len(found) > POINTS_MAX:
        raise _too_many_points(interval)
    return found


def _too_many_points(interval: str) -> InvalidParameter:
    return InvalidParameter(
        f"With interval={interval} the period has more than {POINTS_MAX} points.", field="interval",
        allowed=f"at most {POINTS_MAX} points", hint="Use a longer interval or a shorter period.",
    )  # fmt: skip


def _require_tiles(scene: PeriodRequest, grain: BucketKind, start: int, end: int) -> tuple[Tile, ...]:
    found = _tile(scene, start, end)
    if found is None:
        raise InvalidParameter(
            f"In the zone {scene.zone} the buckets of one {scene.query.interval} do not fall on the {NAMES[grain]}s of "
            f"{scene.home}, which is all that is kept of this period (minutes: 48 hours, hours: 60 days).",
            field="timezone", allowed=[scene.home], hint=f"Use timezone={scene.home}, or a later `from`.",
        )  # fmt: skip
    return tuple(found)


def _tile(scene: PeriodRequest, start: int, end: int) -> list[Tile] | None:
    return tile(start, end, zone=scene.home, now_ms=scene.now_ms, kinds=scene.kinds)
