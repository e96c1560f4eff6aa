"""`rta bench`: one benchmark a sub-command, each with the question that it answers."""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True, help="Measure what the platform does on this machine.")
