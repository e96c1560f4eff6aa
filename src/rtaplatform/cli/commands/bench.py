"""`rta bench`: one benchmark a sub-command, each with the question that it answers."""

from __future__ import annotations

from typing import Annotated

import typer

from rtaplatform.simulate.shop.plan import LATE_SHARE, RATE_MAX

SECONDS_MAX = 86_400

app = typer.Typer(no_args_is_help=True, help="Measure what the platform does on this machine.")

SeedOption = Annotated[int, typer.Option(help="The same seed makes the same load.")]
JsonLinesOption = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


@app.command("pipeline")
def measure_pipeline(
    events: Annotated[int, typer.Option(min=1_000, help="Events in the log.")] = 1_000_000,
    workers: Annotated[int, typer.Option(min=1, help="Workers that share it.")] = 2,
    users: Annotated[int, typer.Option(min=1, help="Registered users of the shop.")] = 20_000,
    products: Annotated[int, typer.Option(min=1, help="Products of the shop.")] = 2_000,
    late: Annotated[float, typer.Option(min=0, max=1, help="Share of events that arrive late.")] = LATE_SHARE,
    seed: SeedOption = 1,
    as_json: JsonLinesOption = False,
) -> None:
    """How many events a second does everything that runs by default count?

    Examples:

        rta bench pipeline

        rta bench pipeline --events 100000 --workers 1 --late 0.2
    """
    from rtaplatform.bench.pipeline import measure
    from rtaplatform.bench.report import BenchReport

    report = BenchReport("pipeline", as_json=as_json, seed=seed, events=events, workers=workers, late=late)
    measure(report, events_total=events, workers=workers, users=users, products=products, late=late, seed=seed)


@app.command("collect")
def measure_collect(
    events: Annotated[int, typer.Option(min=1_000, help="Events that are collected in each way.")] = 50_000,
    batch: Annotated[int, typer.Option(min=1, max=5_000, help="Events a batch.")] = 100,
    seconds: Annotated[
        float, typer.Option(min=0, max=SECONDS_MAX, help="How long each load over HTTP lasts; 0: none is sent.")
    ] = 10,
    as_json: JsonLinesOption = False,
) -> None:
    """What does one event cost the collector, and what does the API take of half and of three times its greatest rate?

    Examples:

        rta bench collect

        rta bench collect --events 10000 --batch 20 --seconds 0
    """
    from rtaplatform.bench.collecting import collector_cost, offered_load
    from rtaplatform.bench.report import BenchReport

    report = BenchReport("collect", as_json=as_json, events=events, batch=batch, seconds=seconds)
    collector_cost.measure(report, events_total=events, batch_events=batch)
    if seconds:
        offered_load.measure(report, seconds=seconds)


@app.command("rebuild")
def measure_rebuild(
    events: Annotated[int, typer.Option(min=1_000, help="Events in the log.")] = 1_000_000,
    rate: Annotated[float, typer.Option(min=0.1, max=RATE_MAX, help="Events a second, in their own time.")] = 2_000,
    users: Annotated[int, typer.Option(min=1, help="Registered users of the shop.")] = 20_000,
    products: Annotated[int, typer.Option(min=1, help="Products of the shop.")] = 2_000,
    seed: SeedOption = 1,
    as_json: JsonLinesOption = False,
) -> None:
    """How many records a second does a rebuild read, beside what a worker counts of the same log?

    Examples:

        rta bench rebuild

        rta bench rebuild --events 300000 --rate 20
    """
    from rtaplatform.bench.rebuild import measure
    from rtaplatform.bench.report import BenchReport

    report = BenchReport("rebuild", as_json=as_json, seed=seed, events=events, rate=rate)
    measure(report, events_total=events, users=users, products=products, rate=rate, seed=seed)


@app.command("counts")
def measure_counts(
    processes: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 2,
    batch: Annotated[int, typer.Option(min=1, max=1_000_000, help="Events a batch.")] = 200_000,
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
    seconds: Annotated[float, typer.Option(min=0.1, max=SECONDS_MAX, help="How long questions are asked.")] = 60,
    views: Annotated[int, typer.Option(min=20, help="Views a second that are counted meanwhile.")] = 2_000,
    seed: SeedOption = 1,
    as_json: JsonLinesOption = False,
) -> None:
    """How long do popular products and questions by category take, with many products?

    Examples:

        rta bench products

        rta bench products --products 1000 --seconds 5
    """
    from rtaplatform.bench.products import measure
    from rtaplatform.bench.report import BenchReport

    report = BenchReport("products", as_json=as_json, seed=seed, products=products, views_per_second=views)
    measure(report, products=products, seconds=seconds, views_per_second=views, seed=seed)


@app.command("query")
def measure_query(
    events: Annotated[int, typer.Option(min=1_000, help="Events that are written and counted first.")] = 10_000_000,
    days: Annotated[int, typer.Option(min=1, max=365, help="Days over which they are spread, up to now.")] = 1,
    persons: Annotated[int, typer.Option(min=1, help="Registered users of the shop.")] = 200_000,
    products: Annotated[int, typer.Option(min=100, help="Products of shop and catalog.")] = 5_000,
    asked: Annotated[int, typer.Option(min=1, help="How often each question is asked.")] = 200,
    meanwhile: Annotated[int, typer.Option(min=0, help="Events a second that come while all is asked again.")] = 500,
    workers: Annotated[int, typer.Option(min=1, help="Workers that count the events.")] = 2,
    seed: SeedOption = 1,
    as_json: JsonLinesOption = False,
) -> None:
    """How long does each endpoint take, with so many events counted?

    Examples:

        rta bench query

        rta bench query --events 100000 --persons 2000 --asked 50

        rta bench query --events 300000 --persons 20000 --days 90 --meanwhile 0
    """
    from rtaplatform.bench.query import RowSize, measure
    from rtaplatform.bench.report import BenchReport

    size = RowSize(events, persons, products, days)
    report = BenchReport("query", as_json=as_json, seed=seed, **size._asdict())
    measure(report, size, times=asked, meanwhile=meanwhile, workers=workers, seed=seed)


@app.command("latency")
def measure_latency(
    probes: Annotated[int, typer.Option(min=1, help="Single events that are waited for, at each rate.")] = 100,
    backlog: Annotated[int, typer.Option(min=1_000, help="Events that say which rate can be counted.")] = 500_000,
    workers: Annotated[int, typer.Option(min=1, help="Workers that share it.")] = 1,
    seed: SeedOption = 1,
    as_json: JsonLinesOption = False,
) -> None:
    """How long from an event to the live stream, at 1, 10, 50 and 90 % of the rate that can be counted?

    Examples:

        rta bench latency

        rta bench latency --probes 20 --backlog 50000
    """
    from rtaplatform.bench.latency import measure
    from rtaplatform.bench.report import BenchReport

    report = BenchReport("latency", as_json=as_json, seed=seed, workers=workers)
    measure(report, probes=probes, backlog=backlog, workers=workers, seed=seed)


@app.command("live")
def measure_live(
    streams: Annotated[int, typer.Option(min=1, help="SSE streams.")] = 2_000,
    sockets: Annotated[int, typer.Option(min=0, help="WebSockets, each with ten questions.")] = 200,
    stalled: Annotated[int, typer.Option(min=0, help="Clients that read nothing, added later.")] = 500,
    rate: Annotated[
        float, typer.Option(min=1, max=RATE_MAX, help="Events a second that are counted meanwhile.")
    ] = 2_000,
    probes: Annotated[int, typer.Option(min=1, help="Single events that all clients wait for, in each phase.")] = 30,
    seed: SeedOption = 1,
    as_json: JsonLinesOption = False,
) -> None:
    """How long from an accepted event to every live client, beside stalled ones, and when are all back after a restart?

    Examples:

        rta bench live

        rta bench live --streams 100 --sockets 20 --stalled 50 --rate 100 --probes 10
    """
    from rtaplatform.bench.live.live_delivery import measure
    from rtaplatform.bench.report import BenchReport

    report = BenchReport("live", as_json=as_json, seed=seed, rate=rate)
    measure(report, streams=streams, sockets=sockets, stalled=stalled, rate=rate, probes=probes, seed=seed)


@app.command("apply")
def measure_apply(
    calls: Annotated[int, typer.Option(min=1, help="Calls that are timed, in each case.")] = 100,
    seconds: Annotated[float, typer.Option(min=1, max=SECONDS_MAX, help="Time of each rate, in steady state.")] = 10,
    seed: SeedOption = 1,
    as_json: JsonLinesOption = False,
) -> None:
    """How long does one call of the store take, and how large is it, as rates, batches, projects and products grow?

    Examples:

        rta bench apply

        rta bench apply --calls 20 --seconds 2
    """
    from rtaplatform.bench.apply import measure
    from rtaplatform.bench.report import BenchReport

    measure(BenchReport("apply", as_json=as_json, seed=seed), calls=calls, seconds=seconds, seed=seed)


@app.command("memory")
def measure_memory(
    events: Annotated[int, typer.Option(min=1_000, help="Events of the shop, counted in three steps.")] = 1_000_000,
    seed: SeedOption = 1,
    as_json: JsonLinesOption = False,
) -> None:
    """How much memory do an event, a bucket, a dedup id and a person take, and the processes?

    Examples:

        rta bench memory

        rta bench memory --events 10000
    """
    from rtaplatform.bench.memory.memory import measure
    from rtaplatform.bench.report import BenchReport

    measure(BenchReport("memory", as_json=as_json, seed=seed), events=events, seed=seed)
