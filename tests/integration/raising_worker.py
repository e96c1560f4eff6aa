"""A worker with a bug: it raises where a record holds MARKER. `test_poison_records.py` runs it."""

from __future__ import annotations

from collections.abc import Mapping

from rtaplatform import telemetry
from rtaplatform.cli.commands.worker import run
from rtaplatform.cli.stop_signals import record_stop_signals
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.process.fold.job import DecodedRun, EcommerceJob
from rtaplatform.process.people.people_fold import PeopleFold
from rtaplatform.settings import KafkaSettings, StoreSettings, WorkerSettings
from rtaplatform.stream.port import RecordColumns
from rtaplatform.wiring.worker import build_worker

MARKER = b"our readers choke on this"


class Raising(EcommerceJob):
    def decode(
        self, run: RecordColumns, stream_time_ms: int, projects: Mapping[str, ProjectSettings], shards: int
    ) -> DecodedRun:
        if any(MARKER in (value or b"") for value in run.values):
            raise IndexError("a bug")
        return super().decode(run, stream_time_ms, projects, shards)


if __name__ == "__main__":
    telemetry.configure_logging()
    settings = KafkaSettings(), StoreSettings(), WorkerSettings()  # type: ignore[call-arg]  # of the environment
    run(build_worker(*settings, job=Raising(PeopleFold())), record_stop_signals())
