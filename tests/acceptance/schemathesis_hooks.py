"""For test_schemathesis.py: the key that the run itself uses must not be revoked, rotated or ended by it."""

from __future__ import annotations

import os
from typing import Any

import schemathesis

OWN_KEYS = frozenset(os.environ.get("RTA_TEST_KEY_IDS", "").split(","))


@schemathesis.hook
def filter_case(context: Any, case: Any) -> bool:
    return (case.path_parameters or {}).get("id") not in OWN_KEYS
