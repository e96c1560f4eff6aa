"""A number that no option can mean is wrong usage, before anything starts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from rtaplatform.cli.main import COMMANDS, build_app


def list_number_options() -> Iterator[tuple[str, ...]]:
    """The words of each command that has an option for a number with a fraction, and that option."""
    for name in COMMANDS:
        group: Any = typer.main.get_command(build_app(name))
        pending: list[tuple[tuple[str, ...], Any]] = [((name,), group.commands[name])]
        while pending:
            words, command = pending.pop()
            pending += [((*words, sub), inner) for sub, inner in getattr(command, "commands", {}).items()]
            for option in command.params:
                if "float" in str(option.type_descriptor.annotation):
                    yield (*words, option.opts[0])


OPTIONS = sorted(list_number_options())


def test_options_are_found() -> None:
    assert {("simulate", "--rate"), ("up", "--simulate"), ("dead-letters", "list", "--hours")} <= set(OPTIONS)


@pytest.mark.parametrize("value", ["inf", "nan", "1e308", "-1"])
@pytest.mark.parametrize("words", OPTIONS, ids=" ".join)
def test_a_number_that_cannot_be_meant_is_wrong_usage(words: tuple[str, ...], value: str) -> None:
    result = CliRunner().invoke(build_app(words[0]), [*words, value])
    assert result.exit_code == 2, result.output
    assert words[-1] in result.output
