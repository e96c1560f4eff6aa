"""Erase a person: profile, a record in the log, what Redis keeps of him, a receipt.

In one order, and every step may be repeated, so that a crash between two of them is mended by asking again (or by
`finish_pending`, which the process of profiles calls from time to time):
    1 PostgreSQL   the tombstone and the deletion, in one transaction; from here on no event brings him back
    2 Kafka        the record in `rta.control`, acknowledged: a rebuild honours it (docs/reference/control.md)
    3 Redis        his members of the sets of persons, and his value
    4 PostgreSQL   the receipt, in place of what was kept for steps 2 and 3
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection

from rtaplatform.catalog.database import Database
from rtaplatform.catalog.entities.etags import Condition
from rtaplatform.core.control_records import ERASE, ErasureRecord, encode_erasure
from rtaplatform.core.errors import Unavailable
from rtaplatform.core.time.timestamps import iso_utc
from rtaplatform.core.values.ids import persons_of
from rtaplatform.profiles.erasure_receipt import (
    NOTHING_KEPT,
    ErasureInProgress,
    Kept,
    WhoToErase,
    begun_of,
    make_receipt,
    profile_of,
)
from rtaplatform.profiles.profile_rows import ERASING

PENDING_AGE_SECONDS = 30  # younger ones are somebody's at this moment
PENDING_AT_ONCE = 100
FINISH_SECONDS = 30.0  # between two looks at what is pending

_ALONE = text(f"SELECT pg_advisory_xact_lock({ERASING.format(project=':project')})")
_DELETE = text("DELETE FROM users WHERE project_id = :project AND id = :user RETURNING *")
_TOMBSTONE = text("SELECT receipt FROM erasures WHERE project_id = :project AND user_id = :user")
_BEGIN = text(
    """
    INSERT INTO erasures (project_id, id, user_id, erased_at, receipt)
    VALUES (:project, :id, :user, clock_timestamp(), CAST(:receipt AS jsonb))
    ON CONFLICT (project_id, user_id)
        DO UPDATE SET id = excluded.id, erased_at = excluded.erased_at, receipt = excluded.receipt
    RETURNING CAST(extract(epoch FROM erased_at) * 1000 AS bigint)
    """
)
_READ_PENDING = text(
    """
    SELECT e.project_id, p.slug, e.user_id, e.receipt, CAST(extract(epoch FROM e.erased_at) * 1000 AS bigint) AS at_ms
    FROM erasures e JOIN projects p ON p.id = e.project_id
    WHERE e.receipt ? 'pending' AND e.erased_at < now() - make_interval(secs => :age)
        AND (CAST(:user AS text) IS NULL OR (e.project_id = :project AND e.user_id = :user))
    ORDER BY e.erased_at LIMIT :most
    """
)
_FINISH = text(
    """
    UPDATE erasures SET receipt = CAST(:receipt AS jsonb), updated_at = now()
    WHERE project_id = :project AND id = :id
    """
)


class PersonErasure:
    """Erases persons. `record` appends to the log, `forget` takes persons (8 bytes each) from a project's Redis."""

    def __init__(
        self,
        database: Database,
        record: Callable[[bytes, bytes], None],
        forget: Callable[[str, Sequence[bytes]], dict[str, int]],
        kept: Callable[[], Kept],
    ) -> None:
        self._database, self._record, self._forget, self._kept = database, record, forget, kept

    async def erase(self, who: WhoToErase, condition: Condition | None = None) -> dict[str, Any]:
        """The receipt; the same again for a user who is erased already, whatever the condition was.

        A profile need not be there: events tell of people as well. Raises PreconditionFailed for a profile that is not
        as the condition says, and Unavailable where a server is away: asked again, it goes on.
        """
        found = await self._database.run(lambda connection: _begin(connection, who, condition))
        return await self._finish(found) if isinstance(found, ErasureInProgress) else found

    async def finish_pending(self) -> int:
        """Finish what a crash has left half-done; returns how many. Raises Unavailable."""
        pending = await self._database.run(
            lambda connection: _read_pending(connection, age=PENDING_AGE_SECONDS, most=PENDING_AT_ONCE)
        )
        for begun in pending:
            await self._finish(begun)
        return len(pending)

    async def keep_finishing(self) -> None:
        """Finish the erasures that a crash has left half-done, again and again until cancelled."""
        while True:
            await asyncio.sleep(FINISH_SECONDS)
            with suppress(Unavailable):
                await self.finish_pending()

    async def _finish(self, begun: ErasureInProgress) -> dict[str, Any]:
        erased = ErasureRecord(
            type=ERASE,
            receipt_id=begun.id,
            project_id=begun.project,
            user_id=begun.user_id or "",
            anonymous_ids=begun.anonymous_ids,
            at=iso_utc(begun.at_ms),
        )
        whose = f"erasure:{begun.id}" if begun.user_id is None else f"user:{begun.user_id}"
        key = f"{begun.project}:{whose}".encode()
        # Before anything is said to be done: without this record a count from the log would know nothing of it.
        await asyncio.to_thread(self._record, key, encode_erasure(erased))
        removed = await asyncio.to_thread(self._forget, begun.project, persons_of(begun.user_id, begun.anonymous_ids))
        receipt = make_receipt(begun, removed, await asyncio.to_thread(self._kept))
        values = {"project": begun.project_id, "id": begun.id, "receipt": json.dumps(receipt)}
        await self._database.run(lambda connection: connection.execute(_FINISH, values))
        return receipt


def _begin(connection: Connection, who: WhoToErase, condition: Condition | None) -> ErasureInProgress | dict[str, Any]:
    """Step 1; or the receipt of an erasure that is complete."""
    if who.user_id is None:
        return _set_tombstone(connection, who, NOTHING_KEPT, who.anonymous_ids)
    where = {"project": who.project_id, "user": who.user_id}
    connection.execute(_ALONE, {"project": who.project_id})
    before: dict[str, Any] | None = connection.scalar(_TOMBSTONE, where)
    row = connection.execute(_DELETE, where).mappings().first()
    if row is None and before is not None and not who.anonymous_ids:
        pending = _read_pending(connection, age=-1, most=1, project_id=who.project_id, user_id=who.user_id)
        return pending[0] if pending else before
    if condition is not None:
        condition.check(None if row is None else row["version"])  # what it raises takes the deletion back
    # An erasure that was not finished, of a user who has been created or named again since: both are finished as one.
    unfinished = (before or {}).get("pending", NOTHING_KEPT)
    profile = unfinished if row is None else profile_of(dict(row))
    ids = [*(row["anonymous_ids"] if row else ()), *who.anonymous_ids, *unfinished["anonymous_ids"]]
    return _set_tombstone(connection, who, profile, ids)


def _set_tombstone(
    connection: Connection, who: WhoToErase, profile: Mapping[str, Any], ids: Sequence[str]
) -> ErasureInProgress:
    pending = {**profile, "anonymous_ids": list(dict.fromkeys(ids))}
    receipt = {"id": f"era_{secrets.token_hex(12)}", "pending": pending}
    values = {"project": who.project_id, "user": who.user_id, "id": receipt["id"], "receipt": json.dumps(receipt)}
    at_ms = connection.scalar(_BEGIN, values)
    return begun_of(who.project_id, who.project, who.user_id, receipt, at_ms)


def _read_pending(
    connection: Connection, *, age: int, most: int, project_id: str | None = None, user_id: str | None = None
) -> list[ErasureInProgress]:
    values = {"age": age, "most": most, "project": project_id, "user": user_id}
    return [begun_of(*row) for row in connection.execute(_READ_PENDING, values)]
