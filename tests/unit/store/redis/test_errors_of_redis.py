"""What a server says, as what the caller can do about it."""

from __future__ import annotations

import pytest
import redis

from rtaplatform.core.errors import Stopped, Unable, Unavailable
from rtaplatform.store.redis.redis_errors import translating_errors

PIPED = "Command # 3 (HGETALL rta:{s00}:g1:ledger) of pipeline caused error: "
PASSING = [
    redis.ConnectionError("reset"),
    redis.TimeoutError("Timeout reading from socket"),
    redis.BusyLoadingError("loading"),
    redis.ReadOnlyError("You can't write against a read only replica."),
    redis.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."),
    redis.exceptions.TryAgainError("Multiple keys request during rehashing of slot"),
    redis.exceptions.ClusterDownError("The cluster is down"),
    redis.exceptions.MasterDownError("Link with MASTER is down"),
    redis.exceptions.ExecAbortError("Transaction discarded because of: BUSY Redis is busy running a script."),
    redis.ResponseError("EXEC without MULTI"),
    redis.ResponseError("BUSY Redis is busy running a script."),
    redis.ResponseError("MISCONF Errors writing to the AOF file: No space left on device"),
    redis.ResponseError("NOREPLICAS Not enough good replicas to write."),
    redis.ResponseError(PIPED + "BUSY Redis is busy running a script."),
    redis.ResponseError(PIPED + "('MISCONF Errors writing to the AOF file',)"),
    redis.ResponseError(PIPED + """("MISCONF It's currently unable to persist to disk.",)"""),
]
OURS = [
    redis.ResponseError("INVALID cells"),
    redis.ResponseError("ERR Function not found"),
    redis.exceptions.NoPermissionError("User rta has no permissions"),
    redis.ResponseError("ERR BUSY is only a word here"),
    ValueError("x"),
]


@pytest.mark.parametrize("error", PASSING, ids=str)
def test_what_passes_is_waited_out(error: Exception) -> None:
    with pytest.raises(Unavailable), translating_errors():
        raise error


@pytest.mark.parametrize("error", PASSING, ids=str)
def test_refused_writes_are_unable(error: Exception) -> None:
    refuses_writes = any(word in str(error) for word in ("MISCONF", "NOREPLICAS", "read only"))
    with pytest.raises(Unavailable) as raised, translating_errors():
        raise error
    assert isinstance(raised.value, Unable) == refuses_writes


@pytest.mark.parametrize("before", ["", PIPED, PIPED + "('"])
def test_a_key_of_another_type_is_stopped(before: str) -> None:
    with pytest.raises(Stopped), translating_errors():
        raise redis.ResponseError(before + "WRONGTYPE Operation against a key holding the wrong kind of value")


@pytest.mark.parametrize("error", OURS, ids=str)
def test_errors_about_our_own_call_pass_through(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, translating_errors():
        raise error
    assert raised.value is error
