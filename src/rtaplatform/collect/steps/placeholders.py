"""Placeholder ids, which name nobody: clients send them when they have lost the id.   Pure.

They are counted as persons, as sent; a signal shows how many come.
"""

from __future__ import annotations

from rtaplatform.collect.body.draft import Draft
from rtaplatform.core.values.placeholders import is_placeholder


def has_placeholder(draft: Draft) -> bool:
    """Whether one of the ids of a person is a placeholder."""
    user_id, anonymous_id = draft.values.get("userId"), draft.values.get("anonymousId")
    return bool((user_id and is_placeholder(user_id)) or (anonymous_id and is_placeholder(anonymous_id)))
