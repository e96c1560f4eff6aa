"""Ids that name nobody: what a client sends where it has lost the id.   Pure; read by collector and workers.

They are counted as sent, and never link one id to another: else everybody whose client has the same bug would be one
person.
"""

from __future__ import annotations

PLACEHOLDERS = frozenset(
    (
        "", "undefined", "null", "none", "nil", "nan", "n/a", "0", "-1", "true", "false", "[object object]", "{}", "[]",
        "anonymous", "anonymousid", "guest", "unknown", "userid",
    )
)  # fmt: skip


def is_placeholder(text: str) -> bool:
    """Whether an id is one of these, whatever its case and the blanks around it, or consists of zeros (and dashes)."""
    bare = text.strip()
    return bare.lower() in PLACEHOLDERS or not bare.strip("0-")
