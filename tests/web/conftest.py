"""What the tests of the dashboard's sources share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.web.dashboard_copy import copy_dashboard


@pytest.fixture(scope="session")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_dashboard(tmp_path_factory.mktemp("web"))
