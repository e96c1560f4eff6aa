"""Events of a file, checked by the collector's own steps and put into the order of their times.

The records lie in a temporary file, so that memory holds 16 bytes for each. Their messageIds are made of the file's
content and the row, so that a repeat after a kill is recognised.
"""

from __future__ import annotations

import json
import tempfile
import time
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from rtaplatform.collect.body.draft import CollectedRecord, Draft
from rtaplatform.collect.body.envelope import RequestArrival, draft_single
from rtaplatform.collect.body.json_reading import read_client_time
from rtaplatform.collect.steps.steps import run_steps, to_record
from rtaplatform.history.export_files import read_rows
from rtaplatform.history.tools.rows import HistoryTool, RowFault, without_nothing

FAULTS_KEPT_MAX = 1_000  # with their reasons; all are counted
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(CollectedRecord).decode


class EventSpool:
    """`fill` once, then `replay` in order. Close it, and the temporary file is gone."""

    def __init__(self, project: str, id_prefix: str) -> None:
        self._project, self._id_prefix = project, id_prefix
        self._arrival = RequestArrival(received_ms=time.time_ns() // 1_000_000)
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `close`
        self._times, self._places = array("q"), array("q")
        self.rows = self.late = self.fault_count = 0
        self.faults: list[RowFault] = []

    def __len__(self) -> int:
        return len(self._times)

    def close(self) -> None:
        self._file.close()

    def fill(self, path: Path, tool: HistoryTool, show: Callable[[int], None]) -> None:
        """Read the whole file. Raises SetupError if it has only totals."""
        for item in read_rows(path, tool):
            self.rows += 1
            if isinstance(item, RowFault):
                self._note(item)
            else:
                self._add_row(item[0], list(tool.read_row(item[1])))
            show(self.rows)

    def replay(self, begin: int) -> Iterator[CollectedRecord]:
        """The records in the order of their times, from the `begin`-th on."""
        times = np.array(self._times, dtype=np.int64)
        for index in np.argsort(times, kind="stable")[begin:]:
            self._file.seek(self._places[int(index)])
            size = int.from_bytes(self._file.read(4), "big")
            yield _decode(self._file.read(size))

    def _add_row(self, line: int, events: list[dict[str, Any]]) -> None:
        for number, event in enumerate(events):
            message_id = event.get("messageId")
            event["messageId"] = f"{message_id}" if message_id else f"{self._id_prefix}:{line}:{number}"
            self._add_event(line, without_nothing(event))

    def _add_event(self, line: int, event: dict[str, Any]) -> None:
        if read_client_time(event.get("timestamp")) is None:
            self._note(RowFault(line, "The row has no time that can be read."))
            return
        raw = json.dumps(event).encode()
        ready, refusals = run_steps([draft_single(raw, str(event["type"]), self._project, self._arrival)], {})
        for refusal in refusals:
            self._note(RowFault(line, f"{refusal.reason.value}: {refusal.detail}"))
        for draft in ready:
            self._store(draft)

    def _store(self, draft: Draft) -> None:
        self.late += draft.is_late
        event_ms = read_client_time(draft.fields["timestamp"]) or 0
        record = _encode(msgspec.structs.replace(to_record(draft), timestamp_ms=event_ms))
        self._places.append(self._file.seek(0, 2))
        self._times.append(event_ms)
        self._file.write(len(record).to_bytes(4, "big") + record)

    def _note(self, fault: RowFault) -> None:
        self.fault_count += 1
        if len(self.faults) < FAULTS_KEPT_MAX:
            self.faults.append(fault)
