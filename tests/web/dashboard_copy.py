"""A copy of the dashboard's sources, in which the tools of its lock run."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD = ROOT / "web" / "dashboard"
GOLDEN = ROOT / "tests" / "golden"
PAGES = ROOT / "src" / "rtaplatform" / "serve" / "pages"


def run_in(folder: Path, *command: str) -> str:
    environment = {**os.environ, "RTA_GOLDEN": str(GOLDEN)}
    process = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


def copy_dashboard(folder: Path) -> Path:
    """The sources, with exactly what the lock names; nothing that it installs runs a script."""
    copy = folder / "dashboard"
    shutil.copytree(DASHBOARD, copy, ignore=shutil.ignore_patterns("node_modules"))
    run_in(copy, "npm", "ci")
    return copy
