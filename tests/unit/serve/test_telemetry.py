"""One log line is one line of JSON, whatever is in it."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from rtaplatform import telemetry


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level, stream = root.handlers[:], root.level, io.StringIO()
    telemetry.configure_logging(stream=stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_control_characters_cannot_break_a_line(lines: io.StringIO) -> None:
    hostile = "a\r\nb\x1b[31m\u2028\u2029\x7f\x85\x00ü"
    telemetry.make_logger("test").warning("said", value=hostile)
    logging.getLogger("library").error("of a library: %s", hostile)
    written = lines.getvalue()
    assert written.isascii()
    assert written.count("\n") == 2
    assert not [character for character in written.replace("\n", "") if character < " " or character == "\x7f"]
    ours, theirs = (json.loads(line) for line in written.splitlines())
    assert (ours["event"], ours["value"], ours["level"]) == ("said", hostile, "warning")
    assert theirs["event"].endswith(hostile)


def test_signals_are_named_after_the_platform() -> None:
    names = [family.name for family in telemetry.REGISTRY.collect()]
    assert len(names) == len(set(names))
    assert all(name.startswith("rta_") for name in names)
