"""Tie the life of a process of ours to its parent's.

The supervisor does this for its direct children (spawn.py); a child that starts processes itself has them call
`die_with_parent` as the first thing they do, so that killing any process takes all below it along.
"""

from __future__ import annotations

import os
import sys

from rtaplatform.local.supervisor import spawn


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends. Does nothing outside Linux.

    The tie is to the parent's *thread* that started this process: start such processes from a thread that stays.
    """
    if sys.platform == "linux":
        spawn.die_with(os.getppid())
