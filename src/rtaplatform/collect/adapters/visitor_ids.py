"""Name a visitor who has no id: a hash of address and user agent, with a salt of the day.   Pure.

Plausible's and Umami's scripts keep nothing in the browser. The salt is random, lives a day and is never stored with
an address or a hash, so nobody can find out afterwards who a visitor was. The same person has another id tomorrow.
"""

from __future__ import annotations

import hashlib

VISITOR_CHARACTERS = 32


def name_visitor(salt: bytes, project: str, address: str, user_agent: str) -> str:
    """The id of a visitor for this day. `address` is not kept."""
    parts = (project, address, user_agent)
    identity = b"".join(len(part).to_bytes(4, "big") + part.encode(errors="replace") for part in parts)
    return hashlib.blake2b(identity, key=salt[:64]).hexdigest()[:VISITOR_CHARACTERS]
