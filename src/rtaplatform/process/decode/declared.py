"""The values of the properties and traits that a project declares.   Stage 3 of 6: stream → [process] → store.

Pure. A number is a value as it was written, a boolean is `true` or `false`; a list, an object, null and an empty text
are no value. Properties are read under the names that were sent.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Raw

from rtaplatform.core.values.dimensions import as_dimension
from rtaplatform.core.values.json_text import read_dimension_text
from rtaplatform.core.values.user_traits import TraitFields, read_traits

DeclaredValues = tuple[tuple[str, str], ...]  # the name of a property or of a trait, and its value


def read_declared(properties: bytes, names: tuple[str, ...]) -> DeclaredValues:
    """The value of each of these properties, in their order; empty text where an event has none.

    `properties` is an object's JSON text, or empty.
    """
    if not properties:
        return without_values(names)
    fields = _make_decoder(names).decode(properties)
    return tuple(
        [(name, as_dimension(read_dimension_text(raw))) for name, raw in zip(names, _list_raws(fields), strict=True)]
    )


def read_declared_traits(value: bytes, names: tuple[str, ...]) -> DeclaredValues:
    """Those of these traits of users that an identify event names, with their values; `value` is the record's JSON.

    Null, an empty text, a list and an object are the empty value, which removes a trait.
    """
    traits, _ = read_traits(msgspec.json.decode(value, type=TraitFields))
    return tuple([(name, as_dimension(read_dimension_text(traits[name]))) for name in names if name in traits])


def _list_raws(fields: Any) -> list[Raw]:
    return [getattr(fields, name) for name in fields.__struct_fields__]


@lru_cache(maxsize=1_024)
def without_values(names: tuple[str, ...]) -> DeclaredValues:
    """The empty value of each."""
    return tuple((name, "") for name in names)


@lru_cache(maxsize=1_024)
def _make_decoder(names: tuple[str, ...]) -> msgspec.json.Decoder[Any]:
    """A decoder that skips everything but these properties."""
    members = {f"property_{n}": name for n, name in enumerate(names)}
    fields = [(member, Raw, Raw()) for member in members]
    return msgspec.json.Decoder(msgspec.defstruct("DeclaredProperties", fields, rename=members, gc=False))
