"""The link by which `rta up` lets its user into the dashboard without typing a key.

The code is in the fragment, which a browser never sends, so no log of a server or proxy has it.
"""

from __future__ import annotations

import json
import urllib.request

TIMEOUT_SECONDS = 5.0


def find_sign_in_link(url: str, key: str) -> str | None:
    """Return a link that opens one session of this key. None if the API has no dashboard, or cannot be asked."""
    ask = urllib.request.Request(  # noqa: S310  # our own API's address
        f"{url}/v1/session/codes", method="POST", headers={"Authorization": f"Bearer {key}"}
    )
    try:
        with urllib.request.urlopen(f"{url}/overview", timeout=TIMEOUT_SECONDS):  # noqa: S310  # the same
            pass
        with urllib.request.urlopen(ask, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310  # the same
            code = json.load(answer)["start"]
    except (OSError, ValueError, KeyError):  # without a link the user signs in by key
        return None
    return f"{url}/#start={code}"
