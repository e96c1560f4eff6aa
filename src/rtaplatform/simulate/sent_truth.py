"""The oracle's numbers of the sent records, counted while sending.   simulate: sender → [truth] → file.

The partition and offset of a record are computed as the producer and the broker will: offsets continue from the ends of
the partitions at the start. The numbers hold for a log that was empty and that nobody else wrote to, if the run left
nothing `unsent`. On any other log they hold only for the sent records taken alone, because the oracle does not know the
ids and stream times of earlier records.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # public, but not in its stubs

from rtaplatform.core.errors import Unavailable
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.settings import KafkaSettings
from rtaplatform.simulate.oracle.oracle import ConsumedRecord, Oracle, OracleRules
from rtaplatform.simulate.oracle.oracle_murmur2 import hash_to_positive
from rtaplatform.simulate.sender import make_silent_logger
from rtaplatform.simulate.shop.records import SimulatedRecord
from rtaplatform.stream.kafka.config import make_client_config

_ANSWER_SECONDS_MAX = 10.0


class SentLog:
    """Computes the positions that records will have. `ends`: (topic, partition) → next offset, 0 if absent."""

    def __init__(self, counts: Mapping[str, int], ends: Mapping[tuple[str, int], int] | None = None) -> None:
        self._counts = counts
        self._next_offsets = dict(ends or {})

    def assign_offset(self, record: SimulatedRecord) -> ConsumedRecord:
        """Return the record with its partition and offset. Call it in the order of sending."""
        partition = hash_to_positive(record.key) % self._counts[record.topic]
        offset = self._next_offsets.get((record.topic, partition), 0)
        self._next_offsets[record.topic, partition] = offset + 1
        return ConsumedRecord(
            record.topic, partition, offset, record.timestamp, record.key, record.value, record.headers
        )


class SentTruth:
    """Counts the true numbers of one run for a project with these settings."""

    def __init__(self, project: ProjectSettings, log: SentLog) -> None:
        self._log = log
        declarations = project.event_properties, project.user_traits
        rules = OracleRules(project.zone, project.currency, project.week_start, *declarations)
        self._oracle = Oracle({project.slug: rules._asdict()})

    def add(self, record: SimulatedRecord) -> None:
        """Count a record that was sent."""
        self._oracle.add(self._log.assign_offset(record))

    def write(self, path: Path, summary: dict[str, Any]) -> None:
        """Write the numbers and the summary of the run as JSON, atomically by rename."""
        unfinished = path.with_name(path.name + ".new")
        unfinished.write_text(json.dumps({"run": summary, **self._oracle.truth.as_dict()}), encoding="utf-8")
        os.replace(unfinished, path)


def read_log_ends(settings: KafkaSettings, counts: Mapping[str, int]) -> dict[tuple[str, int], int]:
    """Read the end of each partition from the broker. Raises Unavailable."""
    client = AdminClient(make_client_config(settings), logger=make_silent_logger())
    places = [(topic, partition) for topic, count in counts.items() for partition in range(count)]
    deadline = time.monotonic() + _ANSWER_SECONDS_MAX
    while True:
        try:
            return _read_ends(client, places)
        except KafkaException as error:
            # A topic that was just created has no leader yet.
            if time.monotonic() > deadline:
                raise Unavailable("kafka", f"the ends of the topics are not known: {error.args[0].str()}") from error
            time.sleep(0.2)


def _read_ends(client: AdminClient, places: list[tuple[str, int]]) -> dict[tuple[str, int], int]:
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # its stubs leave it open
    answers = client.list_offsets(
        {TopicPartition(*place): latest for place in places}, request_timeout=_ANSWER_SECONDS_MAX
    )
    return {(place.topic, place.partition): answer.result().offset for place, answer in answers.items()}
