"""Erase a person from the catalog, the log and Redis, and write a receipt.

The steps have a fixed order, and each may be repeated. After a crash the erasure is completed when it is requested
again, or by `finish_pending`, which the process of profiles calls regularly:
    1 PostgreSQL   the tombstone and the deletion, in one transaction; from here on no event restores the profile
    2 Kafka        the record in `rta.control`, acknowledged; a rebuild obeys it (docs/reference/control.md)
    3 Redis        tombstones in the place of the person's values, and the person's entries in the online set
    4 PostgreSQL   the receipt; it replaces the data that was stored for steps 2 and 3
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
from rtaplatform.core.time.timestamps import format_iso_utc
from rtaplatform.core.values.ids import hash_persons
from rtaplatform.profiles.erasure_receipt import (
    NO_PROFILE,
    ErasureInProgress,
    LogRetention,
    PersonToErase,
    count_profile,
    make_receipt,
    read_erasure,
)
from rtaplatform.profiles.profile_rows import ERASING

PENDING_AGE_SECONDS = 30  # a younger erasure may still be running in another process
PENDING_AT_ONCE = 100
FINISH_SECONDS = 30.0  # between two checks for pending erasures

_LOCK_PROJECT = text(f"SELECT pg_advisory_xact_lock({ERASING.format(project=':project')})")
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
    """Erases persons.

    `append_record` appends to `rta.control`; `forget` puts tombstones in the place of persons (8 bytes each);
    `read_retention` reads how long each topic keeps records.
    """

    def __init__(
        self,
        database: Database,
        append_record: Callable[[bytes, bytes], None],
        forget: Callable[[str, Sequence[bytes]], dict[str, int]],
        read_retention: Callable[[], LogRetention],
    ) -> None:
        self._database, self._append_record = database, append_record
        self._forget, self._read_retention = forget, read_retention

    async def erase(self, person: PersonToErase, condition: Condition | None = None) -> dict[str, Any]:
        """Return the receipt. A user who is erased already gets the same receipt again, whatever the condition.

        A person without a profile can be erased too, because events mention them. Raises PreconditionFailed if the
        profile does not meet the condition, and Unavailable if a server is away; a repeated request then continues.
        """
        erasure = await self._database.run(lambda connection: _begin(connection, person, condition))
        return await self._finish(erasure) if isinstance(erasure, ErasureInProgress) else erasure

    async def finish_pending(self) -> int:
        """Complete the erasures that a crash interrupted. Returns their number; raises Unavailable."""
        erasures = await self._database.run(
            lambda connection: _read_pending(connection, age=PENDING_AGE_SECONDS, limit=PENDING_AT_ONCE)
        )
        for erasure in erasures:
            await self._finish(erasure)
        return len(erasures)

    async def keep_finishing(self) -> None:
        """Complete the erasures that a crash interrupted, repeatedly until cancelled."""
        while True:
            await asyncio.sleep(FINISH_SECONDS)
            with suppress(Unavailable):
                await self.finish_pending()

    async def _finish(self, erasure: ErasureInProgress) -> dict[str, Any]:
        record = ErasureRecord(
            type=ERASE,
            receipt_id=erasure.id,
            project_id=erasure.project,
            user_id=erasure.user_id or "",
            anonymous_ids=erasure.anonymous_ids,
            at=format_iso_utc(erasure.at_ms),
        )
        subject = f"erasure:{erasure.id}" if erasure.user_id is None else f"user:{erasure.user_id}"
        key = f"{erasure.project}:{subject}".encode()
        # This comes before any receipt: a rebuild counts from the log and would otherwise ignore the erasure.
        await asyncio.to_thread(self._append_record, key, encode_erasure(record))
        removed_counts = await asyncio.to_thread(
            self._forget, erasure.project, hash_persons(erasure.user_id, erasure.anonymous_ids)
        )
        receipt = make_receipt(erasure, removed_counts, await asyncio.to_thread(self._read_retention))
        values = {"project": erasure.project_id, "id": erasure.id, "receipt": json.dumps(receipt)}
        await self._database.run(lambda connection: connection.execute(_FINISH, values))
        return receipt


def _begin(
    connection: Connection, person: PersonToErase, condition: Condition | None
) -> ErasureInProgress | dict[str, Any]:
    """Do step 1, or return the receipt of an erasure that is complete already."""
    if person.user_id is None:
        return _set_tombstone(connection, person, NO_PROFILE, person.anonymous_ids)
    values = {"project": person.project_id, "user": person.user_id}
    connection.execute(_LOCK_PROJECT, {"project": person.project_id})
    receipt: dict[str, Any] | None = connection.scalar(_TOMBSTONE, values)
    row = connection.execute(_DELETE, values).mappings().first()
    if row is None and receipt is not None and not person.anonymous_ids:
        pending = _read_pending(connection, age=-1, limit=1, project_id=person.project_id, user_id=person.user_id)
        return pending[0] if pending else receipt
    if condition is not None:
        condition.check(None if row is None else row["version"])  # an error rolls the deletion back
    # The user may have been created or named again since an erasure that was interrupted: both are completed as one.
    unfinished = (receipt or {}).get("pending", NO_PROFILE)
    profile = unfinished if row is None else count_profile(dict(row))
    ids = [*(row["anonymous_ids"] if row else ()), *person.anonymous_ids, *unfinished["anonymous_ids"]]
    return _set_tombstone(connection, person, profile, ids)


def _set_tombstone(
    connection: Connection, person: PersonToErase, profile: Mapping[str, Any], ids: Sequence[str]
) -> ErasureInProgress:
    pending = {**profile, "anonymous_ids": list(dict.fromkeys(ids))}
    receipt = {"id": f"era_{secrets.token_hex(12)}", "pending": pending}
    values = {"project": person.project_id, "user": person.user_id, "id": receipt["id"], "receipt": json.dumps(receipt)}
    at_ms = connection.scalar(_BEGIN, values)
    return read_erasure(person.project_id, person.project, person.user_id, receipt, at_ms)


def _read_pending(
    connection: Connection, *, age: int, limit: int, project_id: str | None = None, user_id: str | None = None
) -> list[ErasureInProgress]:
    values = {"age": age, "most": limit, "project": project_id, "user": user_id}
    return [read_erasure(*row) for row in connection.execute(_READ_PENDING, values)]
