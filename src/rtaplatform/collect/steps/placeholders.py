"""Placeholder ids, which name nobody: clients send them when they have lost the id.   Pure.

They are counted as persons, as sent; a signal shows how many come.
"""

from __future__ import annotations

from rtaplatform.collect.body.draft import Draft

PLACEHOLDERS = frozenset(
    (
        "undefined", "null", "none", "nil", "nan", "n/a", "0", "-1", "true", "false", "[object object]", "{}", "[]",
        "anonymous", "unknown", "00000000-0000-0000-0000-000000000000",
    )
)  # fmt: skip


def is_placeholder(draft: Draft) -> bool:
    """Whether one of the ids of a person is a placeholder."""
    return any((draft.values.get(name) or "").lower() in PLACEHOLDERS for name in ("userId", "anonymousId"))
