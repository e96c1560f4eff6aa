"""What remains of an erased person: a tombstone, which takes no events and no links.   Pure.   Stage 3 of 6."""

from __future__ import annotations

from collections.abc import Collection

from rtaplatform.core.control_records import ErasureRecord
from rtaplatform.core.ledger import PartitionId
from rtaplatform.core.values.ids import hash_persons
from rtaplatform.process.people.person_value import ERASED_VALUE, Person, decode_value
from rtaplatform.store.port import ErasedKeys, Tombstone


def list_other_ids(value: bytes) -> Collection[bytes]:
    """The ids beside its own under which the person of this value is online."""
    person = decode_value(value)
    return [person.canonical] if isinstance(person, Person) and person.canonical else []


TOMBSTONE = Tombstone(ERASED_VALUE, list_other_ids)


def make_erased_keys(erasure: ErasureRecord, place: PartitionId, offset: int) -> ErasedKeys:
    """What the record at this place and offset of `rta.control` erases."""
    persons = tuple(hash_persons(erasure.user_id, erasure.anonymous_ids))
    return ErasedKeys(erasure.project_id, persons, place, offset + 1, TOMBSTONE)
