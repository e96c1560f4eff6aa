"""Which events a feed shows.   Beside the stages: stream → [feed] → serve.   Pure.

A filter has up to VALUES_MAX values for each field. An event passes if it has one of the values of every field named.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from rtaplatform.core.errors import InvalidParameter
from rtaplatform.core.events import SOURCES

FIELDS = ("event", "source", "person", "product")
VALUES_MAX = 20
VALUE_CHARACTERS_MAX = 256


class FeedFilter(Struct, frozen=True):
    """Empty sets let everything pass. `person`: a userId or an anonymousId. `product`: a product_id of the event."""

    event: frozenset[str] = frozenset()
    source: frozenset[str] = frozenset()
    person: frozenset[str] = frozenset()
    product: frozenset[str] = frozenset()

    def accepts(self, *, event: str, source: str, persons: Iterable[str], products: Iterable[str]) -> bool:
        return (
            (not self.event or event in self.event)
            and (not self.source or source in self.source)
            and (not self.person or not self.person.isdisjoint(persons))
            and (not self.product or not self.product.isdisjoint(products))
        )


def parse_feed_filter(fields: Mapping[str, Any]) -> FeedFilter:
    """Read a filter: each field has a text or a list of texts. Raises InvalidParameter."""
    values: dict[str, frozenset[str]] = {}
    for name, value in fields.items():
        if name not in FIELDS:
            raise InvalidParameter.unknown(str(name), FIELDS)
        values[name] = _read_values(name, [value] if isinstance(value, str) else value)
    unknown = sorted(values.get("source", frozenset()) - set(SOURCES))
    if unknown:
        raise InvalidParameter(f"There is no source {unknown[0][:100]!r}.", field="source", allowed=list(SOURCES))
    return FeedFilter(**values)


def _read_values(name: str, values: Any) -> frozenset[str]:
    if not isinstance(values, Sequence) or not all(isinstance(value, str) and value for value in values):
        raise InvalidParameter(f"`{name}` is a text or a list of texts, none of them empty.", field=name)
    if len(values) > VALUES_MAX or any(len(value) > VALUE_CHARACTERS_MAX for value in values):
        raise InvalidParameter(
            f"`{name}` has too many values, or one that is too long.", field=name,
            allowed=f"at most {VALUES_MAX} values of at most {VALUE_CHARACTERS_MAX} characters",
        )  # fmt: skip
    return frozenset(values)
