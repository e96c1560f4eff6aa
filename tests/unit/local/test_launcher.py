"""The launcher, with a stand-in for Python that notes what it is asked: it installs once, repairs, and explains."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
STAND_IN = f"""#!/bin/sh
case "$*" in
*"import venv, ensurepip"*) [ ! -e "$NOTES/no-ensurepip" ]; exit ;;
"-m venv "*) mkdir -p "$3/bin" "$3/lib" && cp "$0" "$3/bin/python"; exit ;;
"-m pip --version") exit 0 ;;
"-m pip "*)
    echo "$*" >>"$NOTES/pip"
    [ ! -e "$NOTES/pip-hangs" ] || sleep 5
    [ ! -e "$NOTES/pip-fails" ]; exit ;;
*sysconfig*) echo "$(dirname "$(dirname "$0")")/lib"; exit ;;
"-m "*) echo "$*"; exit ;;
esac
exec "{sys.executable}" "$@"
"""


class Checkout:
    """A copy of the launcher in a folder with a blank, and a PATH whose `python3` is the stand-in."""

    def __init__(self, folder: Path) -> None:
        self.path, self.notes, bin_folder = folder / "a checkout", folder / "notes", folder / "bin"
        for folder_to_make in (self.path / "requirements", self.notes, bin_folder):
            folder_to_make.mkdir(parents=True)
        shutil.copy2(ROOT / "rta", self.path)
        for name in ("runtime", "java", "dev"):
            (self.path / "requirements" / f"{name}.txt").write_text(f"{name}==1\n")
        for name, text in {"python3": STAND_IN, "java": "#!/bin/sh\necho 'openjdk version \"21\"' >&2\n"}.items():
            (bin_folder / name).write_text(text)
            (bin_folder / name).chmod(0o755)
        self.environment = {"PATH": f"{bin_folder}:/usr/bin:/bin", "NOTES": str(self.notes)}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(self.path / "rta"), *arguments],
            env=self.environment,
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str) -> tuple[int, str, str]:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=30)
        return process.returncode, out, err

    def list_installs(self) -> list[str]:
        """The requirement files that pip was asked for, in order."""
        notes = self.notes / "pip"
        lines = notes.read_text().splitlines() if notes.exists() else []
        return [line.rpartition("/")[2] for line in lines]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_the_first_start_installs_with_hashes_and_links_the_source(checkout: Checkout) -> None:
    status, out, err = checkout.run("status", "--data-dir", "a b")
    assert (status, out) == (0, "-m rtaplatform.cli.main status --data-dir a b\n"), err
    assert checkout.list_installs() == ["runtime.txt"]
    assert "--require-hashes" in (checkout.notes / "pip").read_text()
    assert (checkout.path / ".venv/lib/rtaplatform-checkout.pth").read_text() == f"{checkout.path / 'src'}\n"
    assert not (checkout.path / ".venv.lock").exists()


def test_the_second_start_installs_nothing_and_is_quick(checkout: Checkout) -> None:
    checkout.run()
    begin = time.monotonic()
    status, _, err = checkout.run("status")
    assert (status, err) == (0, "")
    assert time.monotonic() - begin < 0.5
    assert checkout.list_installs() == ["runtime.txt"]


def test_a_changed_requirement_is_installed(checkout: Checkout) -> None:
    checkout.run()
    (checkout.path / "requirements" / "runtime.txt").write_text("runtime==2\n")
    checkout.run()
    assert checkout.list_installs() == ["runtime.txt", "runtime.txt"]


def test_a_touched_requirement_is_not(checkout: Checkout) -> None:
    checkout.run()
    os.utime(checkout.path / "requirements" / "runtime.txt")
    checkout.run()
    assert checkout.list_installs() == ["runtime.txt"]


def test_tests_need_more(checkout: Checkout) -> None:
    checkout.run()
    status, out, _ = checkout.run("test", "--all")
    assert (status, out) == (0, "-m tests.run test --all\n")
    assert checkout.list_installs() == ["runtime.txt", "dev.txt"]


def test_without_java_the_wheel_is_installed(checkout: Checkout) -> None:
    (Path(checkout.environment["PATH"].partition(":")[0]) / "java").write_text(
        "#!/bin/sh\necho 'java version \"1.8.0\"' >&2\n"
    )
    checkout.run()
    assert checkout.list_installs() == ["runtime.txt", "java.txt"]


def test_a_java_that_is_gone_later_is_replaced_by_the_wheel(checkout: Checkout) -> None:
    checkout.run("status")
    java = Path(checkout.environment["PATH"].partition(":")[0]) / "java"
    java.unlink()
    checkout.environment["PATH"] = f"{java.parent}:{link_programs(checkout.path.parent, without='java')}"
    assert checkout.run("status")[0] == 0
    assert checkout.run("status")[0] == 0
    assert checkout.list_installs() == ["runtime.txt", "java.txt"]


def link_programs(folder: Path, *, without: str) -> Path:
    """A folder with the machine's programs but for one."""
    programs = folder / "programs"
    programs.mkdir()
    for place in ("/bin", "/usr/bin"):
        for program in Path(place).iterdir():
            if program.name != without and not (programs / program.name).exists():
                (programs / program.name).symlink_to(program)
    return programs


@pytest.mark.parametrize("arguments", [("test", "--help"), ("check", "-h")])
def test_help_of_the_tests_installs_nothing(checkout: Checkout, arguments: tuple[str, ...]) -> None:
    status, out, _ = checkout.run(*arguments)
    assert (status, out) == (0, f"-m tests.run {' '.join(arguments)}\n")
    assert checkout.list_installs() == []
    assert not (checkout.path / ".venv").exists()


def test_two_at_once_install_once(checkout: Checkout) -> None:
    processes = [checkout.start("status") for _ in range(3)]
    assert [process.communicate(timeout=30) and process.returncode for process in processes] == [0, 0, 0]
    assert checkout.list_installs() == ["runtime.txt"]


def test_an_interrupted_install_is_repaired(checkout: Checkout) -> None:
    (checkout.notes / "pip-hangs").touch()
    process = checkout.start("status")
    while not checkout.list_installs():
        time.sleep(0.02)
    os.killpg(process.pid, 9)
    process.communicate()
    assert (checkout.path / ".venv.lock").exists()
    (checkout.notes / "pip-hangs").unlink()
    status, _, err = checkout.run("status")
    assert status == 0, err
    assert checkout.list_installs() == ["runtime.txt", "runtime.txt"]


def test_a_failed_install_says_so_and_is_tried_again(checkout: Checkout) -> None:
    (checkout.notes / "pip-fails").touch()
    status, _, err = checkout.run()
    assert status == 3
    assert "requirements/runtime.txt cannot be installed" in err
    (checkout.notes / "pip-fails").unlink()
    assert checkout.run()[0] == 0


def test_a_moved_checkout_is_installed_anew(checkout: Checkout) -> None:
    checkout.run()
    checkout.path = checkout.path.rename(checkout.path.with_name("moved"))
    assert checkout.run()[0] == 0
    assert (checkout.path / ".venv/lib/rtaplatform-checkout.pth").read_text() == f"{checkout.path / 'src'}\n"


def test_what_is_missing_is_named_with_its_remedy(checkout: Checkout) -> None:
    (checkout.notes / "no-ensurepip").touch()
    status, _, err = checkout.run()
    assert status == 3
    assert "apt install python3-venv" in err
