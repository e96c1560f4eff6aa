"""`rta bench`: one benchmark a sub-command, each with the question that it answers."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Measure what the platform does on this machine.")

SeedOption = Annotated[int, typer.Option(help="The same seed makes the same load.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


@app.command("pipeline")
def measure_pipeline(
    events: Annotated[int, typer.Option(min=1_000, help="Events in the log.")] = 1_000_000,
    workers: Annotated[int, typer.Option(min=1, help="Workers that share it.")] = 2,
    users: Annotated[int, typer.Option(min=1, help="Registered users of the shop.")] = 20_000,
    products: Annotated[int, typer.Option(min=1, help="Products of the shop.")] = 2_000,
    seed: SeedOption = 1,
    as_json: JsonOption = False,
) -> None:
    """How many events a second does everything that runs by default count?

    Examples:

        rta bench pipeline

        rta bench pipeline --events 100000 --workers 1
    """
    from rtaplatform.bench.pipeline import measure
    from rtaplatform.bench.report import Report

    report = Report("pipeline", as_json=as_json, seed=seed, events=events, workers=workers)
    measure(report, events_total=events, workers=workers, users=users, products=products, seed=seed)


@app.command("counts")
def measure_counts(
    processes: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 2,
    batch: Annotated[int, typer.Option(min=1, max=1_000_000, help="Events a batch.")] = 100_000,
    dedup: Annotated[bool, typer.Option("--dedup", help="Count each messageId once.")] = False,
) -> None:
    """How fast is the core alone, on the job that other systems are measured on? Servers and job stand in BENCH_….

    Examples:

        rta bench counts

        rta bench counts --dedup
    """
    from rtaplatform.bench.counts import main

    raise typer.Exit(main(processes=processes, batch=batch, once=dedup))


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
