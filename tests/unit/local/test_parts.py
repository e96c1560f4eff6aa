"""The pure parts of the embedded servers: ports, Java, the lock of Kafka's jars, ACL lines, the cache folder."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from jgo.env import LockFile

from rtaplatform.core.errors import SetupError
from rtaplatform.local.data import ports
from rtaplatform.local.data.cache_folder import find_cache_folder
from rtaplatform.local.servers import jars, java
from rtaplatform.local.servers.valkey import USERS, write_acl_line
from rtaplatform.local.supervisor import open_files

SOURCES = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "src")}


def test_ports_stay_the_same_while_they_are_free(tmp_path: Path) -> None:
    first = ports.keep_ports(tmp_path / "ports.json", ["a", "b"])
    assert len(set(first.values())) == 2
    assert ports.keep_ports(tmp_path / "ports.json", ["a", "b"]) == first
    with socket.socket() as taken:
        taken.bind((ports.LOOPBACK, first["a"]))
        taken.listen()
        second = ports.keep_ports(tmp_path / "ports.json", ["a", "b"])
    assert second["a"] != first["a"]
    assert second["b"] == first["b"]


def test_a_port_that_is_taken_is_said_with_who_has_it() -> None:
    with socket.socket() as taken:
        taken.bind((ports.LOOPBACK, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SetupError, match=f"Port {port} is taken by .*process {os.getpid()}"):
            ports.require_free(port)


def test_a_port_without_the_right_to_it_is_not_called_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_try_bind", lambda port, host: OSError(errno.EACCES, "Permission denied"))
    with pytest.raises(SetupError, match="Port 80 needs the rights of root") as caught:
        ports.require_free(80)
    assert "taken" not in str(caught.value)


def test_an_address_that_the_machine_does_not_have_is_said() -> None:
    with pytest.raises(SetupError, match=r"no address 203\.0\.113\.7"):
        ports.require_free(0, "203.0.113.7")


@pytest.mark.parametrize("limit", [64, 256, 1_023])
def test_too_few_open_files_are_said_with_the_remedy(limit: int) -> None:
    with pytest.raises(SetupError, match=f"may have {limit} files open; 1024 are needed") as caught:
        open_files.require_enough(limit)
    assert "ulimit -n" in caught.value.remedy


@pytest.mark.parametrize("limit", [1_024, 1 << 30, -1])
def test_enough_open_files_are_enough(limit: int) -> None:
    open_files.require_enough(limit)


def test_the_limit_of_open_files_is_raised_in_a_process_of_its_own() -> None:
    script = (
        "import resource; from rtaplatform.local.supervisor.open_files import raise_limit\n"
        "hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (300, hard))\n"
        "print(raise_limit(), resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=SOURCES)
    limit, holds = map(int, process.stdout.split())
    assert limit == holds >= 1_024


@pytest.mark.parametrize(
    ("banner", "major"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "25" 2025-09-16', 25),
        ('java version "1.8.0_402"', 8),
        ('openjdk version "21-ea" 2023-09-19', 21),
    ],
)
def test_the_major_version_of_a_java_is_read(banner: str, major: int, tmp_path: Path) -> None:
    program = write_script(tmp_path / "java", f"echo '{banner}' >&2")
    program_found = java._read_version(program)
    assert program_found
    assert program_found.major == major


def test_an_old_java_is_passed_over_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    program = write_script(tmp_path / "bin" / "java", """echo 'java version "1.8.0_402"' >&2""")
    monkeypatch.setattr(java, "_list_candidates", lambda: iter([program]))
    with pytest.raises(SetupError, match="Java 8"):
        java.find_java()


def test_every_jar_of_the_lock_has_a_checksum_and_one_version() -> None:
    lock = LockFile.load(jars.LOCK)
    assert all(item.sha256 and len(item.sha256) == 64 for item in lock.dependencies)
    kafka = {item.version for item in lock.dependencies if item.groupId == "org.apache.kafka"}
    assert len(kafka) == 1
    assert kafka.pop().startswith("4.1.")
    names = [(item.groupId, item.artifactId) for item in lock.dependencies]
    assert len(set(names)) == len(names)


def test_jars_that_cannot_be_fetched_are_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="cannot be fetched") as caught:
        jars.fetch_class_path(tmp_path, print, repository_url="http://127.0.0.1:1")
    assert "RTA_MAVEN_URL" in caught.value.remedy
    assert list((tmp_path / "jars").iterdir()) == []


def test_an_acl_line_holds_the_hash_and_not_the_password() -> None:
    line = write_acl_line("rta", "secret", "~rta:* resetchannels -@all get client|id")
    assert line.startswith("user rta on #2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b ")
    assert line.endswith(" ~rta:* resetchannels -@all +get +client|id")


@pytest.mark.parametrize("name", sorted(USERS))
def test_no_user_may_do_what_reaches_beyond_its_keys(name: str) -> None:
    forbidden = {"config", "keys", "flushall", "flushdb", "function", "function|flush", "shutdown", "acl", "debug"}
    assert not forbidden & set(USERS[name].split())
    assert "~*" not in USERS[name].split()
    assert ("eval" in USERS[name].split()) == (name == "rta-limiter")


def test_the_cache_is_where_the_user_keeps_caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert find_cache_folder(None) == tmp_path / "rtaplatform"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert find_cache_folder(None) == Path.home() / ".cache" / "rtaplatform"
    assert find_cache_folder(tmp_path / "given") == tmp_path / "given"


def write_script(path: Path, line: str) -> Path:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
    return path
