"""End a process when its parent ends.

The supervisor arranges this for its direct children (spawn.py). Processes that a child starts must call
`die_with_parent` first of all. So killing a process ends all its descendants.
"""

from __future__ import annotations

import os
import sys

from rtaplatform.local.supervisor import spawn


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends. Does nothing outside Linux.

    The kernel watches the parent's *thread* that started this process: start such processes from a thread that stays.
    """
    if sys.platform == "linux":
        spawn.die_with(os.getppid())
