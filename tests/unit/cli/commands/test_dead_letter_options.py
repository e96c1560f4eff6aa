"""Options of `rta dead-letters` that cannot be meant are refused before a server is asked."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from rtaplatform.cli.commands.letters.dead_letters import app
from rtaplatform.core.errors import SetupError, Unavailable
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.operate import project_operations
from rtaplatform.settings import CatalogSettings


@pytest.mark.parametrize("hours", ["nan", "inf", "-1", "1e9"])
def test_hours_that_are_no_length_of_time_are_wrong_usage(hours: str) -> None:
    assert CliRunner().invoke(app, ["list", "--hours", hours]).exit_code == 2


@pytest.mark.parametrize("command", ["list", "replay"])
def test_a_reason_that_does_not_exist_is_wrong_usage(command: str) -> None:
    refused = CliRunner().invoke(app, [command, "--reason", "bad_luck"]).exception
    assert isinstance(refused, SetupError)
    assert refused.exit_code == 2
    assert str(refused).startswith("There is no reason 'bad_luck'.")


@pytest.mark.parametrize("command", ["list", "replay"])
def test_letters_of_a_project_and_of_none_are_not_asked_for_at_once(command: str) -> None:
    refused = CliRunner().invoke(app, [command, "--unknown", "--project", "nope"]).exception
    assert isinstance(refused, SetupError)
    assert (refused.exit_code, refused.remedy) == (2, "Give one of the two.")


@pytest.mark.parametrize("option", [["--project", "demo"], ["--unknown"], ["--reason", "internal"]])
def test_ids_stand_alone(option: list[str]) -> None:
    refused = CliRunner().invoke(app, ["replay", "rta.events.web:0:1", *option]).exception
    assert isinstance(refused, SetupError)
    assert (refused.exit_code, refused.remedy) == (2, "Give the ids alone, or the options alone.")


@pytest.fixture
def projects(monkeypatch: pytest.MonkeyPatch) -> dict[str, ProjectSettings]:
    """What PostgreSQL knows. It is away as long as this is empty."""
    by_slug = dict[str, ProjectSettings]()

    async def find(_: CatalogSettings) -> dict[str, ProjectSettings]:
        if not by_slug:
            raise Unavailable("postgres", "no answer")
        return by_slug

    monkeypatch.setattr(project_operations, "find_projects", find)
    monkeypatch.setenv("RTA_POSTGRES_URL", "postgresql://nobody@127.0.0.1:9/rta")
    monkeypatch.delenv("RTA_KAFKA_BOOTSTRAP_SERVERS", raising=False)
    return by_slug


@pytest.mark.parametrize("command", ["list", "replay"])
def test_a_project_that_does_not_exist_is_wrong_usage(
    projects: dict[str, ProjectSettings], tmp_path: Path, command: str
) -> None:
    projects["demo"] = ProjectSettings("demo")
    options = [command, "--data-dir", str(tmp_path), "--project"]
    refused = CliRunner().invoke(app, [*options, "nope"]).exception
    assert isinstance(refused, SetupError)
    assert (refused.problem, refused.remedy) == ("There is no project 'nope'.", "There are: demo.")
    assert refused.exit_code == 2
    admitted = CliRunner().invoke(app, [*options, "demo"]).exception
    assert str(admitted).startswith("No Kafka is known")


def test_letters_can_be_read_while_postgresql_is_away(projects: dict[str, ProjectSettings], tmp_path: Path) -> None:
    assert not projects
    outcome = CliRunner().invoke(app, ["list", "--project", "demo", "--data-dir", str(tmp_path)])
    assert "It is not checked whether there is a project 'demo'." in outcome.stderr
    assert str(outcome.exception).startswith("No Kafka is known")
