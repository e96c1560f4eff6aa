"""Options of `rta dead-letters` that cannot be meant are refused before a server is asked."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from rtaplatform.cli.commands.letters.dead_letters import app
from rtaplatform.core.errors import SetupError


@pytest.mark.parametrize("hours", ["nan", "inf", "-1", "1e9"])
def test_hours_that_are_no_length_of_time_are_wrong_usage(hours: str) -> None:
    assert CliRunner().invoke(app, ["list", "--hours", hours]).exit_code == 2


@pytest.mark.parametrize("command", ["list", "replay"])
def test_a_reason_that_does_not_exist_is_wrong_usage(command: str) -> None:
    refused = CliRunner().invoke(app, [command, "--reason", "bad_luck"]).exception
    assert isinstance(refused, SetupError)
    assert refused.exit_code == 2
    assert str(refused).startswith("There is no reason 'bad_luck'.")
