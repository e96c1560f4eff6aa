"""Decisions that the code of a stage could forget without any other test noticing (docs/decisions)."""

from __future__ import annotations

import re

from rtaplatform.core.events import EVENT_TOPICS, FUTURE_MS_MAX
from rtaplatform.settings import TopicSettings
from rtaplatform.stream.kafka.broker import _make_config
from rtaplatform.stream.kafka.config import DEAD_LETTERS
from tests.tidy.sources import PACKAGE

LUA = "\n".join(path.read_text() for path in sorted((PACKAGE / "store" / "redis" / "functions").glob("*.lua")))
# `probe`: on keys of its own.
MAY_EXPIRE = {"log_changes", "write_cells", "write_sketches", "note_persons", "write_online", "probe"}


def _find_lua_functions() -> dict[str, str]:
    return dict(re.findall(r"^local function (\w+)\(.*?\)\n(.*?)^end", LUA, re.M | re.S))


def test_only_what_is_shown_expires() -> None:
    """0003. A TTL on what decides lets a wall clock count: after a weekend's pause, repeats came twice."""
    functions = _find_lua_functions()
    assert functions.keys() >= {*MAY_EXPIRE, "write_block", "write_loose", "write_persons", "advance", "write_batch"}
    expiring = {name for name, body in functions.items() if re.search(r"EXPIRE|'(?:PX|EX)'|SETEX", body)}
    assert expiring == MAY_EXPIRE


def test_projects_are_never_taken_from_a_shard() -> None:
    """0005. An empty catalog would turn every event of a site into a dead letter."""
    assert not re.search(r"'(?:DEL|HDEL|UNLINK)'", _find_lua_functions()["set_projects"])


def test_topics_of_events_refuse_timestamps_ahead() -> None:
    """0007. One record of next year would make all that follow late."""
    for topic in EVENT_TOPICS:
        config = _make_config(topic, TopicSettings())
        assert config["message.timestamp.after.max.ms"] == str(FUTURE_MS_MAX)
        assert config["message.timestamp.type"] == "CreateTime"
        assert config["retention.ms"] == "-1"
    assert _make_config(DEAD_LETTERS, TopicSettings())["cleanup.policy"] == "compact,delete"


def test_functions_use_no_clock_to_decide() -> None:
    """The server's clock is asked once, to leave out what would be deleted at once; and by the probe of our rights.

    `read_now_s` is asked when a generation that nobody reads any more may be deleted.
    """
    asking = {name for name, body in _find_lua_functions().items() if "'TIME'" in body}
    assert asking == {"write_batch", "probe", "read_now_s"}
    calling = {name for name, body in _find_lua_functions().items() if "read_now_s()" in body}
    assert calling == {"switch", "clean"}
