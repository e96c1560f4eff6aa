"""`rta bench`: one benchmark a sub-command, each with the question that it answers."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Measure what the platform does on this machine.")

SeedOption = Annotated[int, typer.Option(help="The same seed makes the same load.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


@app.command("products")
def measure_products(
    products: Annotated[int, typer.Option(min=100, help="Products of the catalog, and in the events.")] = 100_000,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long questions are asked.")] = 60,
    views: Annotated[int, typer.Option(min=20, help="Views a second that are counted meanwhile.")] = 2_000,
    seed: SeedOption = 1,
    as_json: JsonOption = False,
) -> None:
    """How long do popular products and questions by category take, with many products?

    Examples:

        rta bench products

        rta bench products --products 1000 --seconds 5
    """
    from rtaplatform.bench.products import measure
    from rtaplatform.bench.report import Report

    report = Report("products", as_json=as_json, seed=seed, products=products, views_per_second=views)
    measure(report, products=products, seconds=seconds, views_per_second=views, seed=seed)
