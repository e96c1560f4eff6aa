"""Serve a process's own signals for Prometheus, on loopback."""

from __future__ import annotations

import os

from rtaplatform.core.errors import SetupError


def serve_signals(port: int) -> None:
    """Serve signals on this port; 0: nowhere. Raises SetupError if it is taken, except in a child of `rta up`."""
    if not port:
        return
    from prometheus_client import start_http_server

    from rtaplatform import telemetry

    try:
        start_http_server(port, addr="127.0.0.1", registry=telemetry.REGISTRY)
    except OSError as error:
        if not os.environ.get("RTA_SUPERVISED"):
            problem = f"Signals cannot be served on port {port}: {error.strerror or error}."
            raise SetupError(problem, "Choose another with --metrics-port, or 0 for none.") from error
        telemetry.make_logger("signals").warning("signals_not_served", port=port, reason=str(error))
