"""`rta import` of several files tells what was imported, also if a later file is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rtaplatform.cli.commands.history.file_report import import_files
from rtaplatform.core.errors import SetupError, Unavailable
from rtaplatform.operate.import_run import ImportSummary

FILES = [Path("a.csv"), Path("b.csv"), Path("c.csv")]
A = ImportSummary("a.csv", "imported", 3, 2, 0, 1, [{"line": 4, "reason": "It has no time."}])
REFUSED = SetupError("b.csv has no events of umami.", "Export the events.", exit_code=2)


def make_import(error: BaseException) -> Callable[[Path], ImportSummary]:
    def import_one(path: Path) -> ImportSummary:
        if path.name == "b.csv":
            raise error
        return A

    return import_one


def test_a_refused_file_hides_nothing_that_was_imported_before() -> None:
    output: list[str] = []
    with pytest.raises(SetupError):
        import_files(FILES, make_import(REFUSED), output.append, as_json=False)
    assert output[0] == "a.csv: imported, 2 events of 3 rows, 1 refused.\n  line 4: It has no time."
    assert output[1].splitlines() == [
        "Not imported, or not to its end: b.csv c.csv",
        "Run the command again with these. It goes on where it stopped.",
    ]


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (REFUSED, {"message": "b.csv has no events of umami.", "remedy": "Export the events."}),
        (Unavailable("kafka", "does not answer"), {"message": "kafka: does not answer", "remedy": None}),
        (KeyboardInterrupt(), {"message": "It was stopped.", "remedy": None}),
    ],
)
def test_json_is_one_document_also_after_a_refusal(error: BaseException, problem: dict[str, str | None]) -> None:
    output: list[str] = []
    with pytest.raises(type(error)):
        import_files(FILES, make_import(error), output.append, as_json=True)
    (document,) = map(json.loads, output)
    assert [file["file"] for file in document["files"]] == ["a.csv"]
    assert (document["left"], document["problem"]) == (["b.csv", "c.csv"], problem)


def test_json_of_a_whole_import_leaves_nothing() -> None:
    output: list[str] = []
    assert import_files(FILES[:1], lambda _: A, output.append, as_json=True) == [A]
    assert json.loads(output[0]) | {"files": None} == {"files": None, "left": [], "problem": None}
