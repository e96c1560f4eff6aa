"""The errors of the platform, split by what the caller can do.

    PlatformError
    ├── Rejected                tell the sender: the request is wrong  (serve/http/problems.py maps each to a status)
    │   ├── NotFound            404  no such metric, product, user …
    │   ├── InvalidParameter    422  a parameter or field that is wrong; names it and what is allowed
    │   ├── UnreadableBody      400  cannot be parsed, or is too large
    │   ├── MalformedRequest    400  no HTTP that has one meaning
    │   ├── SlowBody            408  the body came too slowly
    │   ├── UnsupportedEncoding 415  Content-Encoding
    │   ├── UnsupportedType     415  Content-Type
    │   ├── Unauthorized        401
    │   ├── Forbidden           403
    │   ├── Conflict            409
    │   └── PreconditionFailed  412  the resource is not as If-Match says
    ├── Quarantined             quarantine the record with a reason, go on
    ├── Unavailable             a server does not answer: retry with back-off; 503 with Retry-After
    │   ├── Unable              the server answers but refuses this operation for now; there may be a fallback
    │   ├── WrongClock          all servers answer, but Kafka refuses records because this machine's clock is wrong
    │   └── Busy                all servers answer, but this process has no room or time for the request now
    ├── Stopped                 a partition or shard must not advance until an operator has decided
    └── SetupError              the command line cannot do what was asked; it says what is wrong and what to do

Anything else is our own bug and is an assertion or a plain exception.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any


class PlatformError(Exception):
    """The root of the tree. It is never raised itself."""


class Rejected(PlatformError):
    """The request is wrong. `field` names where, `allowed` what would be right, `hint` the remedy."""

    def __init__(self, detail: str, *, field: str | None = None, allowed: Any = None, hint: str | None = None) -> None:
        super().__init__(detail)
        self.detail, self.field, self.allowed, self.hint = detail, field, allowed, hint


class NotFound(Rejected): ...


class InvalidParameter(Rejected):
    @classmethod
    def unknown(cls, name: str, allowed: Sequence[str]) -> InvalidParameter:
        """The error for a parameter that does not exist, with the name that it may have been meant for."""
        near = difflib.get_close_matches(name[:100], allowed, n=1)
        hint = f"Did you mean {near[0]}?" if near else None
        return cls(f"There is no parameter {name[:100]!r}.", field=name[:100], allowed=list(allowed), hint=hint)


class UnreadableBody(Rejected):
    """`reason`: why the body is kept as a rejected event (`core.events.Reason`); None means that it is not JSON."""

    def __init__(
        self, detail: str, *, field: str | None = None, allowed: Any = None, hint: str | None = None, reason: Any = None
    ) -> None:
        super().__init__(detail, field=field, allowed=allowed, hint=hint)
        self.reason = reason


class MalformedRequest(Rejected): ...


class SlowBody(Rejected): ...


class UnsupportedEncoding(Rejected): ...


class UnsupportedType(Rejected): ...


class Unauthorized(Rejected): ...


class Forbidden(Rejected): ...


class Conflict(Rejected): ...


class PreconditionFailed(Rejected): ...


class Quarantined(PlatformError):
    """A record that cannot be processed. `reason` is a `core.events.Reason`, `detail` a sentence."""

    def __init__(self, reason: Any, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


class Unavailable(PlatformError):
    """A server does not answer. `server` is kafka, redis or postgres."""

    def __init__(self, server: str, detail: str, *, retry_after_seconds: int = 2) -> None:
        super().__init__(f"{server}: {detail}")
        self.server, self.detail, self.retry_after_seconds = server, detail, retry_after_seconds


class Unable(Unavailable):
    """A server answers but refuses this for now: it takes no writes (full disk, replica), or has older functions."""


class WrongClock(Unavailable):
    """The clock of this machine is wrong. `detail` tells it to the sender."""


class Busy(Unavailable):
    """This process has no room for the request, or is shutting down. `detail` tells it to the sender."""

    def __init__(self, detail: str, *, retry_after_seconds: int = 2) -> None:
        super().__init__("this process", detail, retry_after_seconds=retry_after_seconds)


class Stopped(PlatformError):
    """`what` (a partition or shard) must not advance. `reason` is one word, `detail` says what to do."""

    def __init__(self, subject: str, reason: str, detail: str) -> None:
        super().__init__(f"{subject} stopped ({reason}): {detail}")
        self.what, self.reason, self.detail = subject, reason, detail


class SetupError(PlatformError):
    """What is wrong, what to do, and the exit code of the command line (docs/reference/record.md)."""

    def __init__(self, problem: str, remedy: str, *, exit_code: int = 3) -> None:
        super().__init__(f"{problem}\n{remedy}")
        self.problem, self.remedy, self.exit_code = problem, remedy, exit_code


# These are failures of the machine, a server or the installation, whichever record they meet.
NOT_OF_A_RECORD = (PlatformError, MemoryError, OSError, ImportError, SyntaxError, SystemError)
