"""Which sketches the persons of a minute belong to: by source, campaign, page, product ….   Stage 3 of 6.   Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from operator import attrgetter

from rtaplatform.core.rollups import PAGE, PLACE_DIMENSIONS, PRODUCT_ID, TRAIT_PREFIX, name_sketch_dimension
from rtaplatform.process.decode.context import EventVisit
from rtaplatform.process.decode.declared import DeclaredValues
from rtaplatform.process.decode.fast import EventDimensions

SketchName = tuple[str, str]  # dimension and value
_places_of = attrgetter(*PLACE_DIMENSIONS)


def group_by_place(of: str, persons: Mapping[EventDimensions, set[bytes]]) -> dict[SketchName, set[bytes]]:
    """The persons of each source, country and device. `of` as in `name_sketch_dimension`."""
    parts: defaultdict[SketchName, list[set[bytes]]] = defaultdict(list)
    names = [name_sketch_dimension(of, place) for place in PLACE_DIMENSIONS]
    for dimensions, members in persons.items():
        for name in zip(names, _places_of(dimensions), strict=True):
            parts[name].append(members)
    return _unite(parts)


def group_by_visit(persons: Mapping[EventVisit, set[bytes]]) -> dict[SketchName, set[bytes]]:
    """The persons of each campaign, referrer, channel, system, browser, region and language.

    Nearly everybody has events that name no campaign, so nobody is counted by a value that lacks.
    """
    parts: defaultdict[SketchName, list[set[bytes]]] = defaultdict(list)
    for visit, members in persons.items():
        for name in visit.sketches:
            parts[name].append(members)
    return _unite(parts)


def group_by_trait_value(persons: Mapping[DeclaredValues, set[bytes]]) -> dict[SketchName, set[bytes]]:
    """The persons of each value of each declared trait, the empty one too."""
    parts: defaultdict[SketchName, list[set[bytes]]] = defaultdict(list)
    for values, members in persons.items():
        for trait, value in values:
            parts[(TRAIT_PREFIX + trait, value)].append(members)
    return _unite(parts)


def _unite(parts: Mapping[SketchName, list[set[bytes]]]) -> dict[SketchName, set[bytes]]:
    return {name: sets[0] if len(sets) == 1 else set[bytes]().union(*sets) for name, sets in parts.items()}


def group_by_product(of: str, persons: Mapping[str, set[bytes]]) -> dict[SketchName, set[bytes]]:
    dimension = name_sketch_dimension(of, PRODUCT_ID)
    return {(dimension, product): members for product, members in persons.items()}


def group_by_page(persons: Mapping[str, set[bytes]]) -> dict[SketchName, set[bytes]]:
    return {(PAGE, page): members for page, members in persons.items() if page}
