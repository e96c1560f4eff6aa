"""How much memory does an idle stack take?

    ./rta up --simulate 0 --ready-file ready.json      # in one terminal; wait half a minute
    PYTHONPATH=src .venv/bin/python benchmarks/memory.py .rta

Sums the proportional set size (PSS: shared pages counted once) of the supervisor and all that it started.
"""

from __future__ import annotations

import sys
from pathlib import Path

import psutil

from rtaplatform.local.running import read_running


def main() -> None:
    running = read_running(Path(sys.argv[1]))
    assert running is not None, "nothing runs from there"
    supervisor = psutil.Process(running.pid)
    total = 0
    for process in (supervisor, *supervisor.children(recursive=True)):
        pss = process.memory_full_info().pss
        total += pss
        print(f"{pss / 2**20:8.1f} MB  {' '.join(process.cmdline())[:100]}")
    print(f"{total / 2**20:8.1f} MB  together")


main()
