"""What a server of Redis says while it cannot serve, as errors of ours.   Stage 4 of 6."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import redis

from rtaplatform.core.errors import Stopped, Unable, Unavailable

# What a server says while it cannot write or answer; each passes by itself or by an operator's hand.
PASSING_ERRORS = (
    redis.BusyLoadingError,
    redis.OutOfMemoryError,
    redis.exceptions.TryAgainError,
    redis.exceptions.ClusterDownError,
    redis.exceptions.ExecAbortError,  # a transaction that the server refused, having done nothing of it
)
NO_TRANSACTION = "EXEC without MULTI"  # MULTI was refused for a reason that the client library drops
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
def unavailable() -> Iterator[None]:
    """Redis's errors as ours. Only errors about our own call remain what they are: those are bugs."""
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise Unavailable("redis", str(error) or type(error).__name__) from error
    except redis.ResponseError as error:
        # A pipeline's error begins with its command; the asynchronous one puts the rest in brackets.
        said = str(error).rpartition("caused error: ")[2].lstrip("('\"")
        if isinstance(error, redis.ReadOnlyError) or said.startswith(NO_WRITES):
            raise Unable("redis", said) from error
        if isinstance(error, PASSING_ERRORS) or said.startswith(PASSING):
            raise Unavailable("redis", said) from error
        if said.startswith("WRONGTYPE"):
            raise Stopped("redis", "damaged", "A key of ours has another type: run `rta rebuild --empty`.") from error
        raise
