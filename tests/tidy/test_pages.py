"""The reference is what the code says.

The pain: a setting that nobody could know of, a signal on a dashboard that had been renamed, a reason in a dead
letter that no page explained.
"""

from __future__ import annotations

import difflib
import re

import pytest

from rtaplatform.cli.main import COMMANDS
from rtaplatform.core.events import Reason
from tests.tidy.pages import PAGES, PAGES_FOLDER, list_commands, list_settings_classes
from tests.tidy.sources import PACKAGE, ROOT

# Signals and settings without effect so far.
IDLE: set[str] = set()


@pytest.mark.parametrize("name", PAGES)
def test_page_is_what_the_code_says(name: str) -> None:
    path, expected = PAGES_FOLDER / name, PAGES[name]()
    actual = path.read_text() if path.exists() else ""
    diff = difflib.unified_diff(actual.splitlines(), expected.splitlines(), f"docs/reference/{name}", "the code", n=0)
    assert actual == expected, "write it anew: python -m tests.tidy.pages\n" + "\n".join(diff)


def test_every_reason_of_a_dead_letter_is_explained_in_its_order() -> None:
    rules = (PAGES_FOLDER / "rules.md").read_text()
    section = rules.partition("## 1.")[2].partition("## 2.")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == [str(reason) for reason in Reason]


def test_every_command_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [name for name, _ in list_commands() if f"rta {name.split()[0]}" not in readme] == []


def test_every_command_module_is_listed() -> None:
    listed = {module for module, _, _ in COMMANDS.values()}
    there = {path.stem for path in (PACKAGE / "cli").glob("*.py") if not path.stem.startswith("_")}
    modules = {
        stem
        for stem in there
        if re.search(r"^(def command|app = )", (PACKAGE / "cli" / f"{stem}.py").read_text(), re.M)
    }
    assert sorted(modules - listed - {"main"}) == []


def test_every_signal_and_setting_does_something() -> None:
    """One that is only listed tells operators what is not so."""
    code = {
        path: path.read_text() for path in PACKAGE.rglob("*.py") if path.name not in ("settings.py", "telemetry.py")
    }
    text = "\n".join(code.values())
    signals = re.findall(r"^([A-Z_]+) = _(?:counter|gauge|histogram)\(", (PACKAGE / "telemetry.py").read_text(), re.M)
    fields = [(cls.__name__, name) for cls in list_settings_classes() for name in cls.model_fields]
    idle = {name for name in signals if f"telemetry.{name}" not in text}
    idle |= {f"{cls}.{name}" for cls, name in fields if not re.search(rf"\.{name}\b", text)}
    assert sorted(idle - IDLE) == []
    assert sorted(IDLE - idle) == [], "no exception is needed any more: take it out"
