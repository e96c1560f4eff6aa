"""What goes wrong between a program and the API."""

from __future__ import annotations

from typing import Any


class ApiProblem(Exception):
    """The API has refused a request. `document` is its problem document, with `field`, `allowed` and `hint`."""

    def __init__(self, document: dict[str, Any]) -> None:
        hint = f" {document['hint']}" if document.get("hint") else ""
        place = f"{document['field']}: " if document.get("field") else ""
        super().__init__(f"{place}{document.get('detail', 'The request failed.')}{hint}")
        self.document, self.status = document, int(document.get("status", 0))


class ConnectionLost(Exception):
    """The connection has ended. `retry_s`: the server's wish for the time before the next attempt."""

    def __init__(self, reason: str, retry_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_s = retry_s
