"""Merge live messages into whole answers.   Pure; plain JSON in, plain JSON out.

The law: a snapshot merged with the updates after it equals the answer that a fresh query would get. The files in
`tests/golden/live` hold this reducer, the hub and the dashboard's reducer in step.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

Json = dict[str, Any]
_OF_UPDATES = ("results", "removed", "index", "order")


def apply_message(answers: Sequence[Json], message: Json) -> list[Json]:
    """Return the answers after a message of a subscription: `snapshot`, `update`, or any other, which changes none."""
    if message["type"] == "snapshot":
        return list(message["answers"])
    return merge_updates(answers, message["answers"]) if message["type"] == "update" else list(answers)


def merge_updates(answers: Sequence[Json], updates: Sequence[Json]) -> list[Json]:
    new_answers = list(answers)
    for update in updates:
        new_answers[update["index"]] = _merge_answer(new_answers[update["index"]], update)
    return new_answers


def _merge_answer(old: Json, update: Json) -> Json:
    start, removed_names = datetime.fromisoformat(update["from"]), {_name_row(row) for row in update["removed"]}
    rows = {_name_row(row["dimensions"]): _without_past(row, start) for row in old["results"]}
    rows = {name: row for name, row in rows.items() if name not in removed_names}
    for row in update["results"]:
        name = _name_row(row["dimensions"])
        rows[name] = {**row, "points": _merge_points(rows[name]["points"], row["points"])} if name in rows else row
    results = list(rows.values())
    if "order" in update:
        results = [results[place] for place in update["order"]]
    return {**{name: value for name, value in update.items() if name not in _OF_UPDATES}, "results": results}


def _without_past(row: Json, start: datetime) -> Json:
    """Drop the points before the window's start. The points are sorted."""
    points, past_count = row["points"], 0
    while past_count < len(points) and datetime.fromisoformat(points[past_count][0]) < start:
        past_count += 1
    return {**row, "points": points[past_count:]} if past_count else row


def _merge_points(old: list[Any], new: list[Any]) -> list[Any]:
    """Replace points of the same time, append later ones."""
    new_points = {time: [time, value] for time, value in new}
    old_points = [new_points.pop(point[0], point) for point in old]
    return old_points + list(new_points.values())


def _name_row(dimensions: Json) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(dimensions.items()))
