"""Reference pages made from the code: settings, signals, metrics, commands, reasons.

`python -m tests.tidy.pages` writes them; test_pages.py compares. What a page says stands beside the thing itself.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterable
from enum import Enum
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from tests.tidy.sources import ROOT

PAGES_FOLDER = ROOT / "docs" / "reference"
HOW = "<!-- Written by `python -m tests.tidy.pages`; edit the code instead. -->"


def _write_table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    titles = list(head)
    lines = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    return "\n".join(lines + [f"| {' | '.join(_escape_cell(text) for text in row)} |" for row in rows])


def _escape_cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _write_page(title: str, *parts: str) -> str:
    return "\n\n".join((HOW, f"# {title}", *parts)) + "\n"


# settings ------------------------------------------------------------------------------------------------------------


def list_settings_classes() -> list[type[BaseSettings]]:
    from rtaplatform import settings

    classes = [
        thing for thing in vars(settings).values() if isinstance(thing, type) and issubclass(thing, BaseSettings)
    ]
    return [cls for cls in classes if cls.model_fields]


def write_settings_page() -> str:
    parts = [
        "A command reads its settings once, from the environment. If a value is wrong, the command names it and ends "
        "with exit code 2. No secret has a default. A setting without a default must be given, unless the command "
        "finds a running `rta up`. A variable with an empty value counts as not set. Kubernetes sets a port of the "
        "form `tcp://10.0.0.7:8000` for a service of that name. Such a port is ignored, and a line says so; "
        "`enableServiceLinks: false` prevents it. In URLs, write special characters of user name and password "
        "percent-encoded (`#` as `%23`).",
    ]
    for cls in list_settings_classes():
        prefix = cls.model_config["env_prefix"]
        rows = [
            (
                f"`{prefix}{name.upper()}`",
                _type_text(field.annotation),
                _write_limits(field.metadata),
                _write_default(field),
            )
            for name, field in cls.model_fields.items()
        ]
        name = re.sub(r"Settings$", "", cls.__name__)
        parts += [
            f"## {name}",
            inspect.getdoc(cls) or "",
            _write_table(("variable", "kind", "limits", "default"), rows),
        ]
    return _write_page("Settings", *parts)


def _type_text(annotation: Any) -> str:
    if get_origin(annotation) is Annotated:
        return _type_text(get_args(annotation)[0])
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{value}`" for value in get_args(annotation))
    if isinstance(annotation, UnionType) or get_origin(annotation) is Union:
        return " or ".join(_type_text(part) for part in get_args(annotation) if part is not type(None))
    if annotation is SecretStr:
        return "secret"
    name = str(annotation.__name__)
    return {"str": "text", "int": "whole number", "float": "number", "bool": "true or false"}.get(name, name.lower())


def _write_limits(metadata: Iterable[Any]) -> str:
    named = [(sign, getattr(bound, name)) for bound in metadata for name, sign in _BOUNDS if hasattr(bound, name)]
    return ", ".join(f"{sign} {value}" for sign, value in named)


_BOUNDS = (("ge", "at least"), ("gt", "over"), ("le", "at most"), ("lt", "under"))


def _write_default(field: Any) -> str:
    if field.is_required():
        return "none: required"
    return "not set" if field.default is None else f"`{field.default}`"


# signals -------------------------------------------------------------------------------------------------------------


def write_signals_page() -> str:
    from rtaplatform import telemetry

    rows = []
    for signal in dict.fromkeys(telemetry.REGISTRY._collector_to_names):
        family = next(iter(signal.collect()))
        suffix = "_total" if family.type == "counter" else ""
        labels = ", ".join(f"`{label}`" for label in getattr(signal, "_labelnames", ()))
        rows.append((f"`{family.name}{suffix}`", family.type, labels, family.documentation))
    about = (
        "Signals are numbers about the platform itself, in Prometheus' format. The API serves them at `/metrics`, a "
        "worker on its `--metrics-port`. Labels have few values: never a project, a person or an event's name."
    )
    laws = (
        "Two laws hold, and a violation is worth an alert. Collector: received = accepted + rejected + unknown. "
        "Workers: consumed = applied + duplicate + late + dead."
    )
    return _write_page("Signals", about, _write_table(("signal", "kind", "labels", "what it tells"), rows), laws)


# metrics -------------------------------------------------------------------------------------------------------------


def write_metrics_page() -> str:
    from rtaplatform.analytics.plan.metric_intervals import DAY_INTERVALS, list_intervals
    from rtaplatform.core.declarations import DECLARED_MAX, METRIC, make_value_and_event_rollup, make_value_rollup
    from rtaplatform.core.metrics import INTERVALS, METRICS, LiveGauge
    from rtaplatform.core.rollups import ROLLUPS, WITHOUT_MINUTES

    intervals = {INTERVALS: "all", INTERVALS[1:]: "hour and longer", DAY_INTERVALS: "day and longer"}
    rows = [
        (
            f"`{metric.name}`", metric.unit, metric.description,
            ", ".join(f"`{name}`" for name in metric.dimensions) or "none",
            "takes no period" if isinstance(metric, LiveGauge) else intervals[list_intervals(metric)],
        )
        for metric in METRICS.values()
    ]  # fmt: skip
    without_minutes = ", ".join(f"`{rollup.name}`" for rollup in ROLLUPS if rollup.name in WITHOUT_MINUTES)
    rollup_rows = [
        (f"`{rollup.name}`", " × ".join(rollup.dimensions) or "none", ", ".join(f"`{m}`" for m in rollup.measures))
        for rollup in ROLLUPS
    ]
    return _write_page(
        "Metrics",
        "`GET /v1/metrics/{name}` answers these metrics, and `GET /v1/metrics` lists them. [api.md](api.md#questions) "
        "describes periods, comparison (`compare=previous_period`, `previous_year`) and `POST /v1/query`. "
        f"The intervals are {', '.join(INTERVALS)}. [rules.md](rules.md) says how a record becomes numbers. "
        "Metrics with intervals from a day on count local days of the project's zone; [api.md](api.md#people) says "
        "what their totals are.",
        _write_table(("metric", "unit", "what it counts", "dimensions", "intervals"), rows),
        "By product, `visitors` are the persons who viewed it, added it to a cart or ordered it; a checkout alone "
        "makes no visitor. By page, they are those who saw it "
        "([rules.md](rules.md#5-what-is-counted-of-an-applied-event), Person).",
        "## Rollups",
        f"These rollups are kept per minute, hour and day; {without_minutes} per hour and day; `actives` and "
        "`retention` per day only. A query is answered from the "
        "first rollup that has its dimensions. If none has them, the query is refused.",
        _write_table(("rollup", "dimensions", "measures"), rollup_rows),
        f"A property that the project declares, up to {DECLARED_MAX}, has two more, per hour and day: "
        f"`{make_value_rollup('<name>').name}`, and "
        f"`{make_value_and_event_rollup('<name>').name}` with the event's name. "
        f"Both have the measure `count`, and answer `{METRIC}` "
        "([ask by a property of your own](../how-to/ask-by-your-own-property.md)).",
        _write_traits_of_users(),
    )


def _write_traits_of_users() -> str:
    from rtaplatform.core.declarations import (
        DECLARED_MAX,
        TRAIT_METRICS,
        make_trait_and_event_rollup,
        make_trait_rollup,
    )

    by_trait, by_trait_and_event = make_trait_rollup("<trait>"), make_trait_and_event_rollup("<trait>")
    return (
        f"A trait of users that the project declares, up to {DECLARED_MAX}, has two likewise: "
        f"`{by_trait.name}` with the measures {', '.join(f'`{m}`' for m in by_trait.measures)}, "
        f"and `{by_trait_and_event.name}` with `count`. They answer "
        f"{', '.join(f'`{name}`' for name in TRAIT_METRICS if name != 'visitors')}. `visitors` has sketches by value. "
        "All count by the trait that was known of the person when the event was counted "
        "([ask by a trait of your users](../how-to/ask-by-a-trait-of-your-users.md))."
    )


# commands ------------------------------------------------------------------------------------------------------------


def list_commands() -> list[tuple[str, Any]]:
    """Name and command, those of groups as `group name`; only what this version has."""
    import typer

    from rtaplatform.cli import main

    commands: list[tuple[str, Any]] = []
    for name, (_module, _line, is_group) in main.COMMANDS.items():
        app: Any = typer.main.get_command(main.build_app(name))
        command = app.commands[name]
        commands += (
            [(f"{name} {sub}", subcommand) for sub, subcommand in command.commands.items()]
            if is_group
            else [(name, command)]
        )
    return commands


def write_cli_page() -> str:
    parts = [
        "In a checkout, `./rta ARGS` installs the dependencies and then runs `rta ARGS`. `./rta test` and "
        "`./rta check` exist only there. `rta --version` prints the version, and `rta help COMMAND` is the same as "
        "`rta COMMAND --help`. Exit codes: 0 done, 1 our bug, 2 usage, 3 a dependency missing or away, 4 a check found "
        "differences, 5 data directory in use.",
    ]
    for name, command in list_commands():
        about, _, example_text = (command.help or "").partition("Example")
        examples = [
            line.strip() for line in example_text.partition(":")[2].splitlines() if line.strip().startswith("rta ")
        ]
        rows = [(_write_option(param), _write_option_default(param), param.help or "") for param in command.params]
        parts += [f"## rta {name}", " ".join(about.split())]
        parts += [_write_table(("option", "default", "what it does"), rows)] if rows else []
        parts += ["```\n" + "\n".join(examples) + "\n```"] if examples else []
    return _write_page("Command line", *parts)


def _write_option(param: Any) -> str:
    if param.param_type_name == "argument":
        return f"`{param.name.upper()}`"
    return ", ".join(f"`{name}`" for name in param.opts) + ("" if param.is_flag else f" {param.metavar or ''}".rstrip())


def _write_option_default(param: Any) -> str:
    value = param.default
    if param.required:
        return "required"
    if value in (None, "", False):
        return ""
    return f"`{value.value if isinstance(value, Enum) else value}`"


PAGES: dict[str, Callable[[], str]] = {
    "settings.md": write_settings_page,
    "signals.md": write_signals_page,
    "metrics.md": write_metrics_page,
    "cli.md": write_cli_page,
}


def main() -> int:
    for name, write in PAGES.items():
        (PAGES_FOLDER / name).write_text(write())
    return 0


if __name__ == "__main__":
    sys.exit(main())
