"""The command as a process: exit codes, messages, and a help that loads nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rtaplatform import __version__
from rtaplatform.cli.main import COMMANDS, _report_failure

SOURCE = Path(__file__).parents[3] / "src"


def run_rta(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    outer_variables = {name: value for name, value in os.environ.items() if not name.startswith("RTA_")}
    return subprocess.run(
        [sys.executable, "-m", "rtaplatform.cli.main", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**outer_variables, "PYTHONPATH": str(SOURCE), "COLUMNS": "200", **environment},
    )


def test_help_names_every_command_that_there_is() -> None:
    shown = run_rta("--help")
    assert shown.returncode == 0
    for name, (module, line, _) in COMMANDS.items():
        assert (SOURCE / "rtaplatform" / "cli" / "commands" / (module.replace(".", "/") + ".py")).exists()
        assert name in shown.stdout
        assert line in shown.stdout


@pytest.mark.parametrize("words", [("--version",), ("-V",), ("version",)], ids=" ".join)
def test_the_version_is_shown(words: tuple[str, ...]) -> None:
    process = run_rta(*words)
    assert (process.returncode, process.stdout, process.stderr) == (0, f"rta {__version__}\n", "")


@pytest.mark.parametrize(("words", "shown"), [(("help",), "Usage: rta "), (("help", "status"), "Usage: rta status ")])
def test_help_is_a_word_as_well(words: tuple[str, ...], shown: str) -> None:
    process = run_rta(*words)
    assert process.returncode == 0
    assert shown in process.stdout


def test_an_output_that_nobody_reads_is_no_failure() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "rtaplatform.cli.main", "doctor", "--port", "0", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert process.wait(60) == 0


def test_help_loads_no_command() -> None:
    program = (
        "import sys; from rtaplatform.cli.main import main; sys.argv = ['rta', '--help']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print([m for m in sys.modules if m.startswith('rtaplatform.cli.') and m != 'rtaplatform.cli.main'])"
    )
    process = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )
    assert process.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "arguments", [("nonsense",), ("up", "--nonsense"), ("up", "--port", "x"), ("up", "--port", "70000")], ids=" ".join
)
def test_wrong_usage_ends_with_2(arguments: tuple[str, ...]) -> None:
    process = run_rta(*arguments)
    assert process.returncode == 2
    assert "Error" in process.stderr


def test_a_wrong_setting_is_usage_and_not_our_bug() -> None:
    process = run_rta("status", RTA_KAFKA_HEAP_MB="much")
    assert process.returncode == 2
    assert "RTA_KAFKA_HEAP_MB is 'much': it must be a whole number" in process.stderr
    assert "Traceback" not in process.stderr


SECRET = "p" + "#s/w@r:d%41+"


def test_a_raw_special_character_in_a_url_is_usage_and_no_secret_is_shown() -> None:
    right = {"RTA_KAFKA_BOOTSTRAP_SERVERS": "h:1", "RTA_REDIS_URL": "redis://h", "RTA_POSTGRES_URL": "postgresql://h/r"}
    process = run_rta("api", RTA_REDIS_LIMITER_URL=f"redis://u:{SECRET}@127.0.0.1/0", **right)
    assert process.returncode == 2
    assert "rta: RTA_REDIS_LIMITER_URL is not a Redis URL" in process.stderr
    assert "# as %23" in process.stderr
    assert not [part for part in (SECRET, "s/w", "d%41", "r:d") if part in process.stderr + process.stdout]


@pytest.mark.parametrize("option", [("--redis", "foo"), ("--postgres", "foo"), ("--kafka", "nonsense")])
def test_a_wrong_address_is_named_before_anything_starts(option: tuple[str, str], tmp_path: Path) -> None:
    process = run_rta("up", *option, "--data-dir", str(tmp_path / "data"))
    assert process.returncode == 2
    assert f"rta: {option[0]} " in process.stderr
    assert "Traceback" not in process.stderr
    assert not (tmp_path / "data").exists()


def test_a_bug_of_ours_is_told_without_secrets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RTA_REDIS_URL", "redis://user:long%23secret@host")
    monkeypatch.setenv("RTA_KAFKA_SASL_PASSWORD", "another secret")
    try:
        raise ValueError("redis://user:long%23secret@host, long#secret, another secret")
    except ValueError as error:
        code = _report_failure(error)
    assert code == 1
    output = capsys.readouterr().err
    assert "Traceback" in output
    assert "secret" not in output.replace("without_secrets", "")


def test_what_cannot_be_done_is_said_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    process = run_rta("up", "--data-dir", str(tmp_path), "--port", "0")
    assert process.returncode == 3
    assert process.stderr.startswith("rta: ")
    assert "→ Name a new folder with --data-dir." in process.stderr


def test_a_ready_file_that_could_not_be_written_is_refused_at_once(tmp_path: Path) -> None:
    process = run_rta("up", "--data-dir", str(tmp_path / "data"), "--ready-file", str(tmp_path / "none" / "ready.json"))
    assert process.returncode == 2
    assert f"{tmp_path / 'none'}" in process.stderr
    assert not (tmp_path / "data").exists()


def test_status_of_nothing(tmp_path: Path) -> None:
    process = run_rta("status", "--data-dir", str(tmp_path / "none"), "--json")
    assert process.returncode == 3
    assert json.loads(process.stdout) == {"state": "stopped", "data_dir": str(tmp_path / "none")}


def test_doctor_names_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    process = run_rta("doctor", "--data-dir", str(tmp_path), "--port", "0", "--json")
    report = json.loads(process.stdout)
    checks = {check["name"]: check for check in report["checks"]}
    assert process.returncode == 3
    assert report["ok"] is False
    assert checks["python"]["ok"]
    assert not checks["data directory"]["ok"]
    assert checks["data directory"]["remedy"]
