"""Query → the exact period it is answered for, cut into tiles.   Stage 5 of 6, pure.

With an interval, `from` is rounded down to a bucket of that interval. Each point is then a whole bucket, except the
last one if `to` lies inside it. Without an interval, `from` is rounded down to the smallest bucket size that is kept
for the whole period. `to` is rounded up to that size. The period of a comparison is tiled in the same way; if only
coarser buckets reach back that far, both periods use those.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from rtaplatform.analytics.ask.time_expressions import format_minute, resolve
from rtaplatform.analytics.plan.tiling import Tile, find_finest_kept, tile_range
from rtaplatform.core.errors import InvalidParameter
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.query import POINTS_MAX, Anchor, Query
from rtaplatform.core.time import calendar
from rtaplatform.core.time.buckets import DAY_MS, MINUTE_MS, BucketKind, is_kept

RANGE_DAYS_MAX = 3_660
AHEAD_MS_MAX = DAY_MS
KEPT = {BucketKind.MINUTE: "48 hours", BucketKind.HOUR: "60 days", BucketKind.DAY: "400 days"}
NOT_KEPT = (
    "not kept for persons by dimension, sales by place, visits, declared properties and user traits, or (persons by "
    "product) for 8 days only"
)
CLOCK_CHANGE = "the clocks of the zone have changed by less than an hour in between"
NOT_SMALLER = "the period before is not kept in smaller buckets"
KIND_OF = {"minute": BucketKind.MINUTE, "hour": BucketKind.HOUR, "day": BucketKind.DAY}
NAMES = {BucketKind.MINUTE: "minute", BucketKind.HOUR: "hour", BucketKind.DAY: "day"}


class PointInterval(Struct, frozen=True):
    """A point: the start of its interval, in minutes since 1970, and the tiles of the part inside the period."""

    start: int
    tiles: tuple[Tile, ...]


class Period(Struct, frozen=True):
    """[start, end) in minutes since 1970. `tiles` are those of all spans; `whole` are the fewest that cover the period.

    `before` is the period of the comparison, None if there is none; `previous` are its tiles, None if there is none or
    it is no longer kept. `reasons` tell the user how the period differs from the requested one.
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
    """The query, its zone and the project's, the time, and the kinds of buckets that exist."""

    query: Query
    zone: str
    week_start: str
    project_zone: str
    now_ms: int
    kinds: tuple[BucketKind, ...]


def cut_period(query: Query, project: ProjectSettings, now_ms: int, kinds: tuple[BucketKind, ...]) -> Period:
    """Cut the query's period into points and buckets. Raises `InvalidParameter` if no buckets cover it exactly."""
    request = PeriodRequest(
        query,
        query.timezone or project.zone,
        query.week_start or project.week_start,
        project.zone,
        now_ms,
        tuple(kinds),
    )
    start_ms, end_ms = _resolve_ends(request)
    start = _round_down_to_interval(request, start_ms // MINUTE_MS)
    finest = find_finest_kept(start, request.project_zone, now_ms, request.kinds)
    last = -(-end_ms // MINUTE_MS)
    for grain in request.kinds[request.kinds.index(finest) :]:
        # Buckets that are kept, and still do not cover the period before, do not fall on its ends.
        is_shifted = grain is not finest and _is_kept_before(request, finest, start, last)
        _require_grain(request, grain, is_shifted=is_shifted)
        period = _cut_with_grain(request, grain, start, last)
        if period is not None:
            is_asked = (period.start, period.end) == _round_ends(request, finest, start, last)
            return (
                period
                if is_asked
                else replace(period, reasons=(_say_coarser(grain, is_shifted=is_shifted), *period.reasons))
            )
    raise InvalidParameter(
        "The period before is no longer kept in buckets of this size.", field="compare",
        hint="Use a shorter or a whole-day period.",
    )  # fmt: skip


def _resolve_ends(request: PeriodRequest) -> tuple[int, int]:
    query = request.query
    start = resolve(query.start, request.zone, request.now_ms)
    end = resolve(query.end, request.zone, request.now_ms)
    problem = _find_problem(start, end, request)
    if problem is not None:
        field, detail, allowed, hint = problem
        raise InvalidParameter(detail, field=field, allowed=allowed, hint=hint)
    # `now` belongs to the bucket in progress, even in its first millisecond.
    return start, end + 1 if query.end.anchor is Anchor.NOW else end


def _find_problem(start: int, end: int, request: PeriodRequest) -> tuple[str, str, str, str] | None:
    latest = format_minute((request.now_ms + AHEAD_MS_MAX) // MINUTE_MS, request.zone)
    if start < 0:
        return "from", "`from` is before 1970.", "1970-01-01T00:00:00Z and later", "For example from=-24h."
    if end > request.now_ms + AHEAD_MS_MAX + MINUTE_MS:
        return "to", "`to` is more than a day ahead.", f"up to {latest}", "The default is now."
    if start >= end:
        return "from", "`from` is not before `to`.", "a time before `to`", "`to` is now where it is left out."
    if end - start > RANGE_DAYS_MAX * DAY_MS:
        return "from", "The period is over 10 years long.", f"at most {RANGE_DAYS_MAX} days", "Use a shorter period."
    return None


def _is_kept_before(request: PeriodRequest, kind: BucketKind, start: int, last: int) -> bool:
    """Whether buckets of this kind are kept for the whole period of the comparison."""
    start, end = _round_ends(request, kind, start, last)
    before = _find_previous_range(request, start, end) or (start, end)
    smallest = find_finest_kept(before[0], request.project_zone, request.now_ms, request.kinds)
    return request.kinds.index(smallest) <= request.kinds.index(kind)


def _require_grain(request: PeriodRequest, grain: BucketKind, *, is_shifted: bool) -> None:
    interval = request.query.interval
    finest = KIND_OF.get(interval, BucketKind.DAY)
    kinds = (BucketKind.MINUTE, BucketKind.HOUR, BucketKind.DAY)
    if kinds.index(grain) > kinds.index(finest):
        reason = f"kept for {KEPT[finest]} only" if finest in request.kinds else NOT_KEPT
        if finest in request.kinds and is_shifted:
            raise InvalidParameter(
                f"The period before does not begin and end with whole {interval}s: {CLOCK_CHANGE}.", field="interval",
                allowed=["day", "week", "month", "none"], hint=f"Use interval={NAMES[grain]}, or leave out `compare`.",
            )  # fmt: skip
        raise InvalidParameter(
            f"Buckets of one {interval} are {reason}, and this period (or the one it is compared with) begins earlier."
            if finest in request.kinds
            else f"Buckets of one {interval} are {reason}.",
            field="interval", allowed=[i for i in ("hour", "day", "week", "month", "none") if i != interval],
            hint=f"Use interval={NAMES[grain]}, or a later `from`.",
        )  # fmt: skip


def _round_down_to_interval(request: PeriodRequest, minute: int) -> int:
    interval = request.query.interval
    return minute if interval == "none" else calendar.round_down_to(minute, interval, request.zone, request.week_start)


def _cut_with_grain(request: PeriodRequest, grain: BucketKind, start: int, last: int) -> Period | None:
    """None if buckets of this size do not cover the period of the comparison exactly."""
    start, end = _round_ends(request, grain, start, last)
    # Before the comparison: where the zone is the reason, the error names the zone.
    spans = _cut_spans(request, grain, start, end)
    before = _find_previous_range(request, start, end)
    previous = None
    if before is not None and _is_kept(before[0], request):
        previous = _tile_range(request, *before)
        if previous is None:
            return None
    tiles = tuple(tile for span in spans for tile in span.tiles)
    return Period(
        start, end, request.zone, spans, tiles,
        whole=tuple(_tile_range(request, start, end) or tiles),
        before=before,
        previous=None if previous is None else tuple(previous),
        is_kept=_is_kept(start, request),
        reasons=_list_reasons(request, start, before),
    )  # fmt: skip


def _round_ends(request: PeriodRequest, grain: BucketKind, start: int, last: int) -> tuple[int, int]:
    """Round both ends to buckets of this size; with an interval, the start is rounded already."""
    if request.query.interval == "none":
        start = calendar.round_down_to_kind(start, grain, request.project_zone)
    end = calendar.round_down_to_kind(last, grain, request.project_zone)
    return start, end if end == last else calendar.find_next_of_kind(end, grain, request.project_zone)


def _is_kept(start: int, request: PeriodRequest) -> bool:
    day = calendar.round_down_to_kind(start, BucketKind.DAY, request.project_zone)
    return is_kept(BucketKind.DAY, day, request.now_ms)


def _list_reasons(request: PeriodRequest, start: int, before: tuple[int, int] | None) -> tuple[str, ...]:
    reasons = []
    retention = f"nothing is kept for longer than {KEPT[BucketKind.DAY]}"
    if not _is_kept(start, request):
        reasons.append(f"The period begins too early: {retention}.")
    if before is not None and not _is_kept(before[0], request):
        reasons.append(f"`previous` is null, since its period begins too early: {retention}.")
    return tuple(reasons)


def _say_coarser(grain: BucketKind, *, is_shifted: bool) -> str:
    reason = f"smaller ones do not fall on the period before: {CLOCK_CHANGE}" if is_shifted else NOT_SMALLER
    return f"`from` and `to` are whole {NAMES[grain]}s: {reason}."


def _find_previous_range(request: PeriodRequest, start: int, end: int) -> tuple[int, int] | None:
    match request.query.compare:
        case "previous_year":
            return calendar.find_previous_year(start, end, request.zone)
        case "previous_period":
            return calendar.find_previous_period(start, end, request.zone)
    return None


def _cut_spans(request: PeriodRequest, grain: BucketKind, start: int, end: int) -> tuple[PointInterval, ...]:
    ranges = _list_point_ranges(request, start, end)
    kind = KIND_OF.get(request.query.interval)
    if kind is None or (request.zone != request.project_zone and kind is not BucketKind.MINUTE):
        return tuple(PointInterval(low, _require_tiles(request, grain, low, high)) for low, high in ranges)
    # Each point but the last is one kept bucket. There may be thousands, so they are not tiled.
    last = PointInterval(ranges[-1][0], _require_tiles(request, grain, *ranges[-1]))
    return (*(PointInterval(low, ((kind, low),)) for low, _ in ranges[:-1]), last)


def _list_point_ranges(request: PeriodRequest, start: int, end: int) -> list[tuple[int, int]]:
    """The start and end of each point. The first begins at `start`."""
    interval = request.query.interval
    if interval == "none":
        return [(start, end)]
    if interval == "minute" and end - start <= POINTS_MAX:
        return [(minute, minute + 1) for minute in range(start, end)]
    if (end - start) // calendar.LEAST_MINUTES[interval] > POINTS_MAX * 1.1:
        raise _make_points_error(interval)
    ranges: list[tuple[int, int]] = []
    point_start = start
    while point_start < end:
        next_start = calendar.find_next_start(point_start, interval, request.zone, request.week_start)
        ranges.append((point_start, min(next_start, end)))
        point_start = next_start
    if len(ranges) > POINTS_MAX:
        raise _make_points_error(interval)
    return ranges


def _make_points_error(interval: str) -> InvalidParameter:
    return InvalidParameter(
        f"With interval={interval} the period has more than {POINTS_MAX} points.", field="interval",
        allowed=f"at most {POINTS_MAX} points", hint="Use a longer interval or a shorter period.",
    )  # fmt: skip


def _require_tiles(request: PeriodRequest, grain: BucketKind, start: int, end: int) -> tuple[Tile, ...]:
    tiles = _tile_range(request, start, end)
    if tiles is None:
        raise InvalidParameter(
            f"In the zone {request.zone} the buckets of one {request.query.interval} do not fall on the "
            f"{NAMES[grain]}s of {request.project_zone}, which is all that is kept of this period "
            "(minutes: 48 hours, hours: 60 days).",
            field="timezone", allowed=[request.project_zone],
            hint=f"Use timezone={request.project_zone}, or a later `from`.",
        )  # fmt: skip
    return tuple(tiles)


def _tile_range(request: PeriodRequest, start: int, end: int) -> list[Tile] | None:
    return tile_range(start, end, zone=request.project_zone, now_ms=request.now_ms, kinds=request.kinds)
