"""Which sketches the persons of a minute belong to: by source, country, device and product.   Stage 3 of 6.   Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from rtaplatform.core.rollups import PERSON_DIMENSIONS, PRODUCT_ID, sketch_dimension
from rtaplatform.process.decode.fast import EventDimensions

PLACES = tuple(name for name in PERSON_DIMENSIONS if name != PRODUCT_ID)  # each is a field of `EventDimensions`
SketchName = tuple[str, str]  # dimension and value


def by_place(of: str, persons: Mapping[EventDimensions, set[bytes]]) -> dict[SketchName, set[bytes]]:
    """The persons of each source, country and device. `of` as in `sketch_dimension`."""
    parts: defaultdict[SketchName, list[set[bytes]]] = defaultdict(list)
    for place in PLACES:
        dimension = sketch_dimension(of, place)
        for dimensions, members in persons.items():
            parts[dimension, getattr(dimensions, place)].append(members)
    return {name: sets[0] if len(sets) == 1 else set[bytes]().union(*sets) for name, sets in parts.items()}


def by_product(of: str, persons: Mapping[str, set[bytes]]) -> dict[SketchName, set[bytes]]:
    dimension = sketch_dimension(of, PRODUCT_ID)
    return {(dimension, product): members for product, members in persons.items()}
