"""Record SIGTERM and SIGINT, so that a long-running command can finish its current step before it stops."""

from __future__ import annotations

import signal


def record_stop_signals() -> list[int]:
    """A list that receives the signals from now on. While it is empty, continue."""
    signals: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda signal_number, _frame: signals.append(signal_number))
    return signals
