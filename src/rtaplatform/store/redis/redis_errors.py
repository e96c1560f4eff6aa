"""Errors of a Redis server, converted to ours.   Stage 4 of 6."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import redis

from rtaplatform.core.errors import Stopped, Unable, Unavailable

# Errors of a server that cannot write or answer for now. They pass, by themselves or after an operator has acted.
PASSING_ERRORS = (
    redis.BusyLoadingError,
    redis.OutOfMemoryError,
    redis.exceptions.TryAgainError,
    redis.exceptions.ClusterDownError,
    redis.exceptions.ExecAbortError,  # the server refused the whole transaction
)
NO_TRANSACTION = "EXEC without MULTI"  # MULTI was refused; the client library drops the reason
NO_WRITES = ("MISCONF", "NOREPLICAS", "READONLY")
PASSING = (
    NO_TRANSACTION,
    "OOM",
    "BUSY",
    "LOADING",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "TRYAGAIN",
)


@contextmanager
def translating_errors() -> Iterator[None]:
    """Convert Redis errors to ours. Errors about the call itself pass through: they are bugs."""
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise Unavailable("redis", str(error) or type(error).__name__) from error
    except redis.ResponseError as error:
        # The error of a pipeline begins with its command. The asynchronous client puts the rest in brackets.
        message = str(error).rpartition("caused error: ")[2].lstrip("('\"")
        if isinstance(error, redis.ReadOnlyError) or message.startswith(NO_WRITES):
            raise Unable("redis", message) from error
        if isinstance(error, PASSING_ERRORS) or message.startswith(PASSING):
            raise Unavailable("redis", message) from error
        if message.startswith("WRONGTYPE"):
            raise Stopped("redis", "damaged", "A key of ours has another type: run `rta rebuild --empty`.") from error
        raise
