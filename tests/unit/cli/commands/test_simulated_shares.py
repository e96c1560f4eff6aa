"""The shares of a simulation stand in one place: whoever measures or sends has the plan's own."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature

import pytest

from rtaplatform.bench.pipeline import fill
from rtaplatform.cli.commands.bench import measure_pipeline
from rtaplatform.cli.commands.simulate import command
from rtaplatform.simulate.shop.plan import SimulationPlan

SHARES = ("late", "duplicates", "malformed", "double_reports")


@pytest.mark.parametrize("function", [command, measure_pipeline, fill])
def test_a_default_share_is_the_plans(function: Callable[..., object]) -> None:
    parameters = signature(function).parameters
    shares = {name: parameters[name].default for name in SHARES if name in parameters}
    assert shares == {name: getattr(SimulationPlan, name) for name in shares}
    assert "late" in shares
