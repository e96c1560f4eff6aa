"""The test runner: what cannot run is said, and nothing is left out in silence.

The pain: a suite that was green for weeks, since the folder with the failing tests was never collected.
"""

from __future__ import annotations

import pytest

from tests import run
from tests.examples import QUICK
from tests.tidy.sources import ROOT, list_files

MARK = "@pytest.mark" + ".waits"
ABSENT = run.Tool("a browser", lambda: False, "apt install chromium")


def test_every_test_lies_in_a_group() -> None:
    assert [path.name for path in (ROOT / "tests").glob("test_*.py")] == []
    assert set(run.find_groups()) >= {
        "tidy",
        "unit",
        "contract",
        "simulation",
        "integration",
        "acceptance",
        "attacks",
        "browser",
        "chaos",
        "web",
    }
    assert run.NEEDS.keys() <= set(run.find_groups())


def test_a_group_without_its_tool_is_named_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(run.NEEDS, "unit", (ABSENT,))
    missing = run.list_missing_tools(["tidy", "unit"])
    assert missing == {"unit": [ABSENT]}
    run._tell_missing(missing)
    output = capsys.readouterr().out
    assert "unit: a browser missing" in output
    assert "apt install chromium" in output


def test_all_demands_every_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(run.NEEDS, "unit", (ABSENT,))
    assert run.main(["test", "--all"]) == run.EXIT_MISSING


def test_the_quick_check_is_made_of_groups_that_need_nothing_more() -> None:
    assert set(run.QUICK) <= set(run.find_groups())
    assert not set(run.QUICK) & run.NEEDS.keys()
    places = [place.partition("::")[::2] for place in run.LEFT_OUT]
    assert [path for path, name in places if f"def {name}" not in (ROOT / path).read_text()] == []
    assert all(run.LEFT_OUT.values())
    assert run.QUICK_PROFILE == QUICK


@pytest.mark.parametrize("arguments", [[], ["check", "more"], ["check", "--quick", "more"], ["tests"]])
def test_what_is_not_understood_is_a_usage_error(arguments: list[str]) -> None:
    assert run.main(arguments) == run.EXIT_USAGE


def test_every_group_runs_in_one_part_and_what_waits_in_one_of_its_own() -> None:
    parts = run.plan_parts(run.find_groups())
    groups = [group for part in parts for group in part.groups if "waits" not in part.options]
    assert sorted(groups) == sorted(run.find_groups())
    assert [part.groups for part in parts if "waits" in part.options] == [[*run.WITH_WAITING]]
    assert "not waits" in parts[-1].options
    waiting = {path.parts[len(ROOT.parts) + 1] for path in list_files(".py", below="tests") if MARK in path.read_text()}
    assert waiting == set(run.WITH_WAITING)


def test_a_mark_that_is_asked_for_does_not_replace_the_mark_of_a_part() -> None:
    joined = run.join_marks(("-m", "waits", "-n3"), ("-x", "-m", "not tester"))
    assert joined == ["-m", "(waits) and (not tester)", "-n3", "-x"]
    assert run.join_marks(("-n2",), ("-x",)) == ["-n2", "-x"]
