"""A worker as `rta worker` runs it, with a bug: it raises where a record holds MARKER. Run by test_poison.py."""

from __future__ import annotations

from collections.abc import Mapping

from rtaplatform import telemetry
from rtaplatform.cli.stopping import on_signals
from rtaplatform.cli.worker import run
from rtaplatform.process.counting import Chunk, Shop
from rtaplatform.settings import KafkaSettings, StoreSettings, WorkerSettings
from rtaplatform.store.port import Project
from rtaplatform.stream.port import Run
from rtaplatform.wiring import build_worker

MARKER = b"our readers choke on this"


class Raising(Shop):
    def understand(self, run: Run, record_ms: int, projects: Mapping[str, Project], shards: int) -> Chunk:
        if any(MARKER in (value or b"") for value in run.values):
            raise IndexError("a bug")
        return super().understand(run, record_ms, projects, shards)


if __name__ == "__main__":
    telemetry.configure_logging()
    settings = KafkaSettings(), StoreSettings(), WorkerSettings()  # type: ignore[call-arg]  # of the environment
    run(build_worker(*settings, counting=Raising()), on_signals())
