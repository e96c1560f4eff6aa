"""How a command that runs for long is asked to stop: SIGTERM and SIGINT, noted; what is under way is finished."""

from __future__ import annotations

import signal


def on_signals() -> list[int]:
    """Filled by the signals from now on; empty: go on."""
    seen: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda got, _frame: seen.append(got))
    return seen
