"""Structured logs, and the one list of all signals (Prometheus).

Promise: a log line is one line of JSON, whatever it contains, and never has a key or password. Signals have few labels
with few values: never a project, a person or the name of an event.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import IO, Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from rtaplatform.core.server_addresses import mask_urls

# Logs --------------------------------------------------------------------------------------------------------------

_SHARED: tuple[Any, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
)


def configure_logging(level: str = "INFO", stream: IO[str] | None = None) -> None:
    """Write our own log lines and those of libraries to `stream` (stderr by default), as JSON lines."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_SHARED,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(serializer=write_line),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def write_line(value: Any, **options: Any) -> str:
    """Write JSON in ASCII. All line ends, escape sequences and DEL are escaped, and logins in URLs are masked."""
    return mask_urls(json.dumps(value, ensure_ascii=True, **options).replace("\x7f", "\\u007f"))


def make_logger(name: str) -> Any:
    return structlog.get_logger(name)


# Signals -----------------------------------------------------------------------------------------------------------

REGISTRY = CollectorRegistry()
_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


def _add_counter(name: str, about: str, *labels: str) -> Counter:
    return Counter(f"rta_{name}", about, labels, registry=REGISTRY)


def _add_gauge(name: str, about: str, *labels: str) -> Gauge:
    return Gauge(f"rta_{name}", about, labels, registry=REGISTRY)


def _add_histogram(name: str, about: str, *labels: str) -> Histogram:
    return Histogram(f"rta_{name}", about, labels, registry=REGISTRY, buckets=_FAST)


# collect: received = accepted + rejected + unknown.
COLLECT_RECEIVED = _add_counter("collect_received", "Events received, each of a batch counted.")
COLLECT_ACCEPTED = _add_counter("collect_accepted", "Events that Kafka has acknowledged.")
COLLECT_REJECTED = _add_counter("collect_rejected", "Events refused, by reason.", "reason")
COLLECT_REJECTED_LETTERS = _add_counter(
    "collect_rejected_letters",
    "Refused events on their way to rta.rejected: kept; or dropped: over_budget, queue_full, undelivered.",
    "result",
)
COLLECT_UNKNOWN = _add_counter("collect_unknown", "Events without an answer from Kafka: answered with 503.")
COLLECT_LATE = _add_counter("collect_late", "Events taken that are older than what is counted.")
COLLECT_LEFT_OUT = _add_counter(
    "collect_left_out", "Events of other tools that are no acts of visitors, and are not stored.", "protocol"
)
COLLECT_PLACEHOLDER_IDS = _add_counter(
    "collect_placeholder_ids", "Events taken whose userId or anonymousId names nobody: undefined, null, 0 and the like."
)
COLLECT_BYTES = _add_counter("collect_bytes", "Bytes of bodies, after decompression.")
COLLECT_STEP_SECONDS = _add_counter("collect_step_seconds", "Time spent in each step.", "step")
COLLECT_IN_FLIGHT = _add_gauge("collect_in_flight", "Events handed to the producer and not yet acknowledged.")
COLLECT_PRODUCERS = _add_counter("collect_producers", "Producers made: more than one means fatal errors.")

# catalog
KEY_LOOKUPS = _add_counter(
    "key_lookups",
    "Key look-ups, by outcome: fresh, stale, read, unknown, mistyped, not_tried, unavailable.",
    "outcome",
)
PROFILES_EVENTS = _add_counter(
    "profiles_events",
    "Identify events, by outcome: applied, unchanged, erased, or why they change no profile.",
    "outcome",
)
PROFILES_CLEANED = _add_counter("profiles_cleaned", "Traits left out of a profile, by reason.", "reason")
PROFILES_BATCH_SECONDS = _add_histogram("profiles_batch_seconds", "One transaction of the profiles process.")
PROFILES_WAITS = _add_counter("profiles_waits", "How often the profiles process waited for a server.", "server")
PROFILES_LAG = _add_gauge(
    "profiles_lag_records", "Records that the profiles process has still to read, as the API sees it."
)
PROFILES_RECORD_AT = _add_gauge(
    "profiles_record_at_seconds", "The time of the newest record read.", "topic", "partition"
)

CATALOG_LISTENING = _add_gauge("catalog_listening", "1 while PostgreSQL notifies this process of catalog changes.")

# serve
RATE_LIMITED = _add_counter("rate_limited", "Requests refused by a rate limit, by kind.", "kind")
LIMITS_ALONE = _add_counter(
    "limits_alone", "Portions of a limit that this process counted alone, because Redis was unavailable."
)
STORE_FILLED = _add_gauge(
    "store_filled_ratio", "How full the store is: used memory and that of waiting events, as a part of maxmemory."
)
STORE_NEARLY_FULL = _add_gauge(
    "store_nearly_full", "1 while the store is nearly full and projects that send much are refused."
)
HTTP_REQUESTS = _add_counter("http_requests", "Requests, by route and status.", "route", "status")
HTTP_SECONDS = _add_histogram("http_seconds", "Time to the first byte of the answer.", "route")
CONNECTIONS_CUT = _add_counter(
    "connections_cut", "Connections cut by us: stalled (its client reads nothing), room (too many are open).", "reason"
)
BYTES_HELD = _add_gauge(
    "bytes_held", "Bytes held of request bodies, of answers or of large messages of sockets, by which of them.", "of"
)
HELD_REFUSED = _add_counter("held_refused", "Requests refused or dropped because too many bytes were held.", "of")
BODIES_SLOW = _add_counter("bodies_slow", "Bodies given up because they came too slowly.")
LOOP_STANDSTILL = _add_gauge(
    "loop_standstill_seconds", "The longest time in the last minute that the event loop was blocked."
)
QUERY_KEPT_BYTES = _add_gauge(
    "query_kept_bytes", "Estimated memory of the caches between queries, names included.", "cache"
)

# worker: consumed = applied + duplicate + late + dead.
WORKER_RECORDS = _add_counter("worker_records", "Records consumed, by outcome.", "outcome")
WORKER_DEAD_LETTERS = _add_counter(
    "worker_dead_letters", "Records that became dead letters, by reason: together the outcome dead.", "reason"
)
WORKER_RECENT_RECORDS = _add_gauge(
    "worker_recent_records", "Records consumed in the last 5 minutes, since this worker's start, by outcome.", "outcome"
)
WORKER_RECENT_SECONDS = _add_gauge(
    "worker_recent_seconds", "For how much of the last 5 minutes this worker has run, in seconds: at most 300."
)
WORKER_PERSON_NOTES = _add_counter(
    "worker_person_notes",
    "Where persons depend on the order of reading: identity_conflicts, late_state (events that are too old), "
    "late_links (of two who are in sketches already).",
    "note",
)
WORKER_APPLIES = _add_counter("worker_applies", "Calls of apply, by outcome.", "result")
WORKER_BATCH_SECONDS = _add_histogram(
    "worker_batch_seconds", "A batch, from its first record until it is known to be applied."
)
WORKER_BATCH_RECORDS = _add_gauge("worker_batch_records", "Records of the last batch.")
WORKER_LAG = _add_gauge("worker_lag_records", "Records not yet applied.", "topic", "partition")
WORKER_ADVANCED_AT = _add_gauge("worker_advanced_at_seconds", "When a partition last advanced.", "topic", "partition")
WORKER_HELD_PARTITIONS = _add_gauge(
    "worker_held_partitions", "Partitions with records that were read and wait until others have come as far in time."
)
WORKER_WAITS_GIVEN_UP = _add_counter(
    "worker_waits_given_up",
    "How often others no longer waited for a partition that had more to read and did not advance.",
    "topic",
    "partition",
)
WORKER_STOPPED = _add_gauge("worker_stopped", "Partitions and shards that stand still until an operator decides.")

# live
LIVE_CONNECTIONS = _add_gauge("live_connections", "Open live connections.", "kind")
LIVE_QUESTIONS = _add_gauge("live_questions", "Live queries that are kept: distinct questions, however many listen.")
LIVE_UPDATES = _add_counter("live_updates", "Updates sent.")
LIVE_SNAPSHOTS = _add_counter("live_snapshots", "Snapshots sent.")
LIVE_DROPPED = _add_counter("live_dropped", "Connections closed by us, by reason.", "reason")
LIVE_WAIT_SECONDS = _add_histogram("live_wait_seconds", "How long a live query waited for its turn to be computed.")
LIVE_COMPUTE_SECONDS = _add_histogram("live_compute_seconds", "One computation of a live query.")


def render_exposition() -> bytes:
    """All signals in Prometheus' text format."""
    return generate_latest(REGISTRY)
