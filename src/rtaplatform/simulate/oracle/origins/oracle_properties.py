"""The oracle's declared properties: events by the values of the properties that a project declares (rule 5)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

PropertyCell = tuple[str, str, int, tuple[str, ...]]
"""rollup, kind, start, values as answers show them"""
_Cells = dict[PropertyCell, dict[str, int]]


class DeclaredEvent(NamedTuple):
    """What an event is counted by. `values`: each declared property, as answers show it.

    `traits`: the declared traits that it gives to its person, as dimensions' values.
    """

    project: str
    name: str
    is_bot: bool
    values: dict[str, str]
    traits: dict[str, str] = {}  # noqa: RUF012  (nobody changes it)


def read_declared(members: Any, names: Iterable[str], show: Callable[[Any], str]) -> dict[str, str]:
    """Return each of these properties, as answers show it. `members`: the properties as they were sent."""
    properties: Mapping[str, Any] = members if isinstance(members, dict) else {}
    return {name: show(properties.get(name)) for name in names}


def _make_cells() -> _Cells:
    return defaultdict(lambda: defaultdict(int))


@dataclass
class PropertyTruth:
    """Events by the value of a property, and by value and name. `of_bots`: events marked as a bot's."""

    cells: _Cells = field(default_factory=_make_cells)
    of_bots: _Cells = field(default_factory=_make_cells)

    def count(self, event: DeclaredEvent, buckets: Iterable[tuple[str, int]]) -> None:
        """Add an event to those of these buckets that are hours or days."""
        cells = self.of_bots if event.is_bot else self.cells
        for kind, start in buckets:
            for name, value in event.values.items() if kind != "minute" else ():
                cells[f"property.{name}", kind, start, (value,)]["count"] += 1
                cells[f"property.{name}+event", kind, start, (value, event.name)]["count"] += 1

    def list_rows(self) -> dict[str, list[dict[str, Any]]]:
        """Return a list of rows for events by value and name, and one for those of bots; both sorted."""
        return {
            prefix + "properties": list(_list_cell_rows(cells))
            for prefix, cells in (("", self.cells), ("bot_", self.of_bots))
        }


def _list_cell_rows(cells: _Cells) -> Iterator[dict[str, Any]]:
    for (rollup, kind, start, values), numbers in sorted(cells.items()):
        if len(values) == 2:
            name = rollup.removeprefix("property.").removesuffix("+event")
            yield {"kind": kind, "start": start, "property": name, "value": values[0], "event": values[1], **numbers}
