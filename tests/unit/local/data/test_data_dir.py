"""The data directory: what is ours is used again, what is not is left alone, and every refusal says what to do."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from rtaplatform.core.errors import SetupError
from rtaplatform.local.data import data_dir
from rtaplatform.local.data.instance_file import (
    InstanceAddresses,
    RunningInstance,
    holding_lock,
    is_locked,
    read_running,
    write_running,
)
from rtaplatform.local.data.private_files import keep_secret, read_object, write_private

ADDRESSES = InstanceAddresses(
    "127.0.0.1:1", "redis://rta:x@127.0.0.1:2/0", "", "", "postgresql://rta:x@127.0.0.1:3/rta"
)


def test_a_new_directory_is_made_private(tmp_path: Path) -> None:
    folder = data_dir.open_data_dir(tmp_path / "above" / "data dir")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert data_dir.open_data_dir(folder) == folder


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(SetupError, match="has other files in it"):
        data_dir.open_data_dir(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_is_no_data_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match="is a file"):
        data_dir.open_data_dir(tmp_path / "file")
    with pytest.raises(SetupError, match="cannot be used"):
        data_dir.open_data_dir(tmp_path / "file" / "below")


def test_a_directory_of_another_version_is_refused(tmp_path: Path) -> None:
    folder = data_dir.open_data_dir(tmp_path / "data")
    write_private(folder / data_dir.MARKER, json.dumps({"version": 99}))
    with pytest.raises(SetupError, match="has version 99"):
        data_dir.open_data_dir(folder)


def test_too_little_room_is_said_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_dir, "DISK_BYTES_MIN", 1 << 60)
    monkeypatch.setattr(data_dir, "MEMORY_BYTES_MIN", 1 << 60)
    with pytest.raises(SetupError, match="are free on the disk"):
        data_dir.open_data_dir(tmp_path / "data")
    with pytest.raises(SetupError, match="of memory are available"):
        data_dir.require_memory()


def test_the_demo_keys_stay_the_same_and_are_private(tmp_path: Path) -> None:
    keys = data_dir.provide_demo_keys(tmp_path)
    assert data_dir.provide_demo_keys(tmp_path) == keys
    assert keys.write_key.startswith("rta_w_")
    assert keys.read_key.startswith("rta_r_")
    assert keys.admin_key.startswith("rta_a_")
    assert len({len(key) for key in (keys.write_key, keys.read_key, keys.admin_key)}) == 1
    assert stat.S_IMODE((tmp_path / "keys.json").stat().st_mode) == 0o600


def test_a_secret_is_made_once(tmp_path: Path) -> None:
    secret = keep_secret(tmp_path / "new folder" / "password")
    assert len(secret) == 43
    assert keep_secret(tmp_path / "new folder" / "password") == secret


def test_a_broken_file_reads_as_empty(tmp_path: Path) -> None:
    (tmp_path / "half.json").write_text('{"a": ')
    (tmp_path / "list.json").write_text("[]")
    assert read_object(tmp_path / "half.json") == read_object(tmp_path / "list.json") == {}


def test_an_instance_is_found_only_while_its_lock_is_held(tmp_path: Path) -> None:
    running = RunningInstance(os.getpid(), "http://127.0.0.1:8000", "2026-11-22T10:00:00Z", ADDRESSES, {"api": 1})
    assert read_running(tmp_path) is None
    with holding_lock(tmp_path):
        assert is_locked(tmp_path)
        assert read_running(tmp_path) is None
        write_running(tmp_path, running)
        assert read_running(tmp_path) == running
    assert not is_locked(tmp_path)
    assert read_running(tmp_path) is None


def test_a_second_holder_is_told_where_the_first_runs(tmp_path: Path) -> None:
    with holding_lock(tmp_path):
        write_running(tmp_path, RunningInstance(7, "http://127.0.0.1:8000", "", ADDRESSES, {}))
        with (
            pytest.raises(SetupError, match=r"by process 7 at http://127\.0\.0\.1:8000") as caught,
            holding_lock(tmp_path),
        ):
            pass
    assert caught.value.exit_code == 5


def test_a_child_does_not_inherit_the_lock(tmp_path: Path) -> None:
    with holding_lock(tmp_path):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert not is_locked(tmp_path)
    finally:
        child.communicate(b"\n")


def test_addresses_become_the_environment_of_a_child() -> None:
    assert ADDRESSES.make_environment() == {
        "RTA_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "RTA_REDIS_URL": "redis://rta:x@127.0.0.1:2/0",
        "RTA_POSTGRES_URL": "postgresql://rta:x@127.0.0.1:3/rta",
    }


def test_only_what_an_earlier_instance_started_is_taken_for_a_leftover(tmp_path: Path) -> None:
    ours = subprocess.Popen(["sleep", "60"], cwd=tmp_path)
    other = subprocess.Popen(["sleep", "60"], cwd="/")
    try:
        write_running(tmp_path, RunningInstance(1, "", "", ADDRESSES, {"kafka": ours.pid, "valkey": other.pid}))
        data_dir.end_leftovers(tmp_path, seconds=0.1)
        assert not psutil.pid_exists(ours.pid)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_private_file_that_finds_no_room_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        write_private(tmp_path / "kept", "x")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
