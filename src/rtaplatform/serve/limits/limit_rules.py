"""What a limit is, what remains of it, and the refusal of who has used it up."""

from __future__ import annotations

from typing import NamedTuple

from litestar.exceptions import TooManyRequestsException
from msgspec import Struct

MINUTE_SECONDS, HOUR_SECONDS = 60, 3_600
PORTIONS = 100


class Allowance(Struct, frozen=True):
    """How much of a limit remains. A limit of 0 means that there is no limit."""

    limit: int
    remaining: int
    reset_seconds: int

    def make_headers(self) -> dict[str, str]:
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset_seconds),
        }


class RateRule(NamedTuple):
    """At most `limit` in each window; 0 means no limit. `subject` names what is counted, for people."""

    limit: int
    subject: str
    window_seconds: int = MINUTE_SECONDS
    portions: int = PORTIONS


def make_too_many(rule: RateRule, allowance: Allowance) -> TooManyRequestsException:
    window = "an hour" if rule.window_seconds == HOUR_SECONDS else "a minute"
    return _make_refusal(
        f"More than {allowance.limit} {rule.subject} in {window}; {allowance.remaining} are left.", allowance
    )


def make_nearly_full(percent: int, allowance: Allowance) -> TooManyRequestsException:
    return _make_refusal(
        f"The platform's store is nearly full ({percent} %). Until there is room, a project may send {allowance.limit} "
        "events in an hour, and this one has sent more. Send the event again later.",
        allowance,
    )


def _make_refusal(detail: str, allowance: Allowance) -> TooManyRequestsException:
    wait = str(allowance.reset_seconds)
    headers = {**allowance.make_headers(), "Retry-After": wait, "X-RateLimit-Reset": wait}
    return TooManyRequestsException(detail=detail, headers=headers)
