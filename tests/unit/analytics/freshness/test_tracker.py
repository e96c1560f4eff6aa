from __future__ import annotations

from rtaplatform.analytics.freshness.log_ends import SAMPLES_MAX, LogInstant
from rtaplatform.analytics.freshness.tracker import Freshness, FreshnessTracker
from rtaplatform.core.ledger import LedgerRow, PartitionId
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.store.port import Snapshot

A, B, C = PartitionId("web-1", 0), PartitionId("web-1", 1), PartitionId("mobile-1", 0)
WALL = 1_000_000_000_000


def make_instant(seconds: float) -> LogInstant:
    return LogInstant(WALL + round(seconds * 1000), seconds)


def make_row(offset: int, stream_time_ms: int = WALL) -> LedgerRow:
    return LedgerRow(offset, offset - 1, stream_time_ms, "h", 0, stream_time_ms)


def make_snapshot(
    rows: dict[PartitionId, int],
    *,
    stops: dict[str, str] | None = None,
    torn: bool = False,
    starts: dict[PartitionId, int] | None = None,
) -> Snapshot:
    return Snapshot(
        "g1", {"web": "web-1"}, {place: make_row(offset) for place, offset in rows.items()}, stops or {}, torn,
        ProjectSettings("demo"), (), starts=starts or {},
    )  # fmt: skip


def make_tracker(*samples: tuple[float, dict[PartitionId, int]]) -> FreshnessTracker:
    tracker = FreshnessTracker()
    for seconds, ends in samples:
        tracker.sample(make_instant(seconds), ends)
    return tracker


def test_as_of_is_the_latest_moment_whose_events_are_all_in() -> None:
    tracker = make_tracker((0, {A: 10, B: 5}), (1, {A: 20, B: 5}), (2, {A: 20, B: 9}))
    assert tracker.observe(make_snapshot({A: 15, B: 9}), make_instant(2.1)) == Freshness(WALL, 2100, ())
    assert tracker.observe(make_snapshot({A: 20, B: 8}), make_instant(2.2)).as_of_ms == WALL + 1000
    assert tracker.observe(make_snapshot({A: 20, B: 9}), make_instant(2.25)) == Freshness(WALL + 2000, 250, ())


def test_a_clock_that_is_wrong_tells_no_as_of_and_no_answer_is_complete() -> None:
    fault: str | None = "It is 3600 s ahead of Redis' clock."
    tracker = FreshnessTracker(lambda: fault)
    tracker.sample(make_instant(0), {A: 1})
    freshness = tracker.observe(make_snapshot({A: 1}), make_instant(1))
    assert (freshness.as_of_ms, freshness.lag_ms, freshness.is_complete) == (None, 1000, False)
    assert "clock of this machine is wrong" in freshness.reasons[0]
    fault = None
    assert tracker.observe(make_snapshot({A: 1}), make_instant(1)) == Freshness(WALL, 1000, ())


def test_samples_of_a_broker_that_has_just_come_back_prove_nothing() -> None:
    two_topics = Snapshot(
        "g1",
        {"web": "web-1", "mobile": "mobile-1"},
        {A: make_row(10), C: make_row(5)},
        {},
        False,
        ProjectSettings("demo"),
        (),
    )
    tracker = make_tracker((0, {A: 10, C: 5}), (1, {A: 20, C: 5}), (2, {C: 5}))
    assert tracker.observe(two_topics, make_instant(2.1)).as_of_ms == WALL
    tracker = make_tracker((0, {A: 10, C: 5}), (1, {A: 20, C: 5}), (2, {A: 10, C: 5}))
    assert tracker.observe(two_topics, make_instant(2.1)).as_of_ms == WALL
    assert make_tracker((0, {C: 5})).observe(two_topics, make_instant(1)).as_of_ms is None


def test_lag_grows_without_samples() -> None:
    tracker = make_tracker((0, {A: 1}))
    assert tracker.observe(make_snapshot({A: 1}), make_instant(30)).lag_ms == 30_000


def test_a_wall_clock_that_jumps_changes_no_lag() -> None:
    tracker = make_tracker((0, {A: 1}))
    assert tracker.observe(make_snapshot({A: 1}), LogInstant(WALL + 3_600_000, 0.5)).lag_ms == 500


def test_without_samples_nothing_is_claimed() -> None:
    freshness = FreshnessTracker().observe(make_snapshot({A: 1}), make_instant(0))
    assert (freshness.as_of_ms, freshness.lag_ms, freshness.is_complete) == (None, None, False)


def test_a_partition_without_a_row_begins_where_the_manifest_says() -> None:
    tracker = make_tracker((0, {A: 7, B: 0}))
    assert tracker.observe(make_snapshot({}, starts={A: 7}), make_instant(1)).as_of_ms == WALL
    assert tracker.observe(make_snapshot({}), make_instant(1)).as_of_ms is None


def test_behind_every_sample_the_stream_time_is_what_is_known() -> None:
    tracker = make_tracker((0, {A: 100}))
    behind = Snapshot("g1", {"web": "web-1"}, {A: make_row(50, WALL - 60_000)}, {}, False, ProjectSettings("demo"), ())
    freshness = tracker.observe(behind, make_instant(1))
    assert (freshness.as_of_ms, freshness.lag_ms) == (WALL - 60_000, 61_000)


def test_a_lagging_partition_that_stands_for_ten_seconds_is_incomplete() -> None:
    tracker = make_tracker((0, {A: 5}), (1, {A: 9}))
    assert tracker.observe(make_snapshot({A: 5}), make_instant(0.5)).is_complete
    tracker.observe(make_snapshot({A: 5}), make_instant(2))
    assert tracker.observe(make_snapshot({A: 5}), make_instant(10.9)).is_complete
    assert tracker.observe(make_snapshot({A: 5}), make_instant(11.1)).reasons == ("web-1:0 does not advance",)
    assert tracker.observe(make_snapshot({A: 6}), make_instant(11.2)).is_complete


def test_a_quiet_partition_is_complete_however_long() -> None:
    tracker = make_tracker((0, {A: 5}))
    tracker.observe(make_snapshot({A: 5}), make_instant(1))
    tracker.sample(make_instant(1000), {A: 5})
    assert tracker.observe(make_snapshot({A: 5}), make_instant(1000)).is_complete
    tracker.sample(make_instant(1001), {A: 6})
    assert tracker.observe(make_snapshot({A: 5}), make_instant(1001.1)).is_complete


def test_a_ledger_behind_where_it_was_is_incomplete_until_it_is_back() -> None:
    tracker = make_tracker((0, {A: 10}))
    tracker.observe(make_snapshot({A: 10}), make_instant(0))
    assert "3 behind" in tracker.observe(make_snapshot({A: 7}), make_instant(1)).reasons[0]
    assert not tracker.observe(make_snapshot({A: 9}), make_instant(2)).is_complete
    assert tracker.observe(make_snapshot({A: 10}), make_instant(3)).is_complete


def test_committed_offsets_count_as_positions_once_reached() -> None:
    tracker = make_tracker((0, {A: 10}))
    tracker.seed({A: 10})
    assert not tracker.observe(make_snapshot({A: 7}), make_instant(0)).is_complete


def test_a_stopped_partition_and_a_torn_shard_are_incomplete() -> None:
    tracker = make_tracker((0, {A: 1}))
    assert not tracker.observe(make_snapshot({A: 1}, stops={"web-1:0": "truncated"}), make_instant(0)).is_complete
    assert not tracker.observe(make_snapshot({A: 1}, torn=True), make_instant(0)).is_complete
    assert tracker.observe(make_snapshot({A: 1}), make_instant(0)).is_complete


def test_a_recreated_topics_old_partitions_are_forgotten() -> None:
    tracker = make_tracker((0, {A: 10}))
    tracker.observe(make_snapshot({A: 10}), make_instant(0))
    again = Snapshot(
        "g2", {"web": "web-2"}, {PartitionId("web-2", 0): make_row(1)}, {}, False, ProjectSettings("demo"), ()
    )
    tracker.sample(make_instant(1), {PartitionId("web-2", 0): 1})
    assert tracker.observe(again, make_instant(1.1)).is_complete
    assert [p.topic_id for p in tracker.report_state(make_instant(2)).partitions] == ["web-2"]


def test_health_shows_lag_and_age_per_partition() -> None:
    tracker = make_tracker((0, {A: 12, B: 1}))
    tracker.observe(make_snapshot({A: 10, B: 1}, stops={"web-1:1": "truncated"}), make_instant(1))
    state = tracker.report_state(make_instant(4))
    assert [(p.partition, p.lag, p.advanced_s_ago, p.behind) for p in state.partitions] == [(0, 2, 3, 0), (1, 0, 3, 0)]
    assert state.stops == {"0/web-1:1": "truncated"}
    assert state.sample_age_s == 4


def test_samples_are_bounded_and_reach_far_back() -> None:
    tracker = FreshnessTracker()
    for n in range(4 * SAMPLES_MAX):
        tracker.sample(make_instant(n / 4), {A: n})
    freshness = tracker.observe(make_snapshot({A: SAMPLES_MAX // 2}), make_instant(SAMPLES_MAX))
    assert freshness.lag_ms is not None
    # Thinned, yet never more than one thinning step from the truth.
    assert 0 <= freshness.lag_ms - (SAMPLES_MAX - SAMPLES_MAX / 8) * 1000 <= 11_000


def make_adopted(offset: int) -> Snapshot:
    """The ledger after `rta topics adopt`: a position without a record."""
    row = LedgerRow(offset, -1, -1, "", -1, WALL)
    return Snapshot("g1", {"web": "web-1"}, {A: row}, {}, False, ProjectSettings("demo"), ())


def test_answers_are_complete_once_a_truncated_log_is_accepted() -> None:
    tracker = make_tracker((0, {A: 1_000}))
    tracker.seed({A: 1_000})
    assert tracker.observe(make_snapshot({A: 1_000}), make_instant(1)).is_complete
    tracker.sample(make_instant(2), {A: 900})
    assert not tracker.observe(make_snapshot({A: 1_000}, stops={"web:0": "truncated"}), make_instant(3)).is_complete
    tracker.sample(make_instant(4), {A: 900})
    assert tracker.observe(make_adopted(900), make_instant(4.5)) == Freshness(WALL + 4_000, 500, ())
    tracker.sample(make_instant(5), {A: 950})
    assert tracker.observe(make_snapshot({A: 950}), make_instant(5.5)) == Freshness(WALL + 5_000, 500, ())
    assert tracker.report_state(make_instant(6)).partitions[0].lag == 0


def test_a_process_that_missed_the_adoption_notices_the_truncated_log() -> None:
    tracker = make_tracker((0, {A: 1_000}))
    tracker.observe(make_snapshot({A: 1_000}), make_instant(1))
    for second in range(2, 14):
        tracker.sample(make_instant(second), {A: 900 + second})
    assert tracker.observe(make_snapshot({A: 913}), make_instant(13.5)) == Freshness(WALL + 13_000, 500, ())


def test_a_store_that_went_back_is_behind_even_with_a_truncated_log() -> None:
    tracker = make_tracker((0, {A: 1_000}))
    tracker.observe(make_snapshot({A: 1_000}), make_instant(1))
    tracker.sample(make_instant(2), {A: 900})
    tracker.sample(make_instant(13), {A: 900})
    assert "50 is" not in str(tracker.observe(make_snapshot({A: 900}), make_instant(13)).reasons)
    assert tracker.observe(make_snapshot({A: 850}), make_instant(14)).reasons[0] == "web-1:0 is 50 behind where it was"


def test_events_behind_an_open_transaction_do_not_count_as_included() -> None:
    """The ends are high watermarks: readers stand before them, and so does the ledger."""
    tracker = make_tracker((0, {A: 10}), (1, {A: 30}))
    for second in range(2, 13):
        tracker.sample(make_instant(second), {A: 30})
        freshness = tracker.observe(make_snapshot({A: 10}), make_instant(second))
    assert (freshness.as_of_ms, freshness.lag_ms, freshness.is_complete) == (WALL, 12_000, False)
    assert tracker.report_state(make_instant(13)).partitions[0].lag == 20


def test_progress_has_the_counted_and_the_waiting_records_of_all_shards() -> None:
    tracker = make_tracker((0, {A: 100, B: 50}))
    assert tracker.estimate_progress() == (0, 0)
    tracker.observe(make_snapshot({A: 60, B: 50}), make_instant(1))
    assert tracker.estimate_progress() == (110, 40)
    other = Snapshot(
        "g1", {"web": "web-1"}, {A: make_row(80), B: make_row(50)}, {}, False, ProjectSettings("demo"), (), shard=1
    )
    tracker.observe(other, make_instant(1))
    assert tracker.estimate_progress() == (120, 30)
