"""The declared traits that are known of persons, as a batch is read.   Pure.   Stage 3 of 6.

A person's value holds for each declared trait the latest text by event time, of several the greatest. So it is a
function of the set of the person's identify events. A link unites both persons by the same rule.

An event counts by the traits that are known of its person once it is read: from the records before it, in the store or
in the batch, and from the event itself. So it does not matter where batches are cut, nor, where all events of a person
are in one partition, how partitions are mixed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from rtaplatform.core.projects import ProjectSettings
from rtaplatform.process.decode.declared import DeclaredValues
from rtaplatform.process.decode.fast import DecodedEvent
from rtaplatform.process.fold.person_state import PersonKey
from rtaplatform.process.people.identity import Alias, find_user, with_link
from rtaplatform.process.people.person_value import KnownTrait, Person, PersonValue

KnownTraits = tuple[KnownTrait, ...]


class TraitReading:
    """What is known of persons while the events of a batch are read in their order.

    `values_before`: the values of persons as stored. `values_after`: those at the end of the batch.
    """

    def __init__(
        self,
        projects: Mapping[str, ProjectSettings],
        values_before: Callable[[PersonKey], PersonValue | None],
        values_after: Callable[[PersonKey], PersonValue | None],
    ) -> None:
        self._projects, self._values_before, self._values_after = projects, values_before, values_after
        self._aliases: dict[PersonKey, Alias | None] = {}
        self._traits: dict[PersonKey, KnownTraits | None] = {}  # None: erased, or an anonymous id that has users
        self._values: dict[PersonKey, DeclaredValues] = {}  # by which the events of a person count for now

    def read(self, events: Iterable[tuple[DecodedEvent, DeclaredValues]]) -> dict[int, DeclaredValues]:
        """The values by which these events count. With each come the traits that it gives to its person."""
        return {id(event): self._read(event, values) for event, values in events}

    def find_traits(self, key: PersonKey) -> KnownTraits:
        """Of those that are declared; empty if the person is erased."""
        return self._find(key) or ()

    def _read(self, event: DecodedEvent, values_of_event: DeclaredValues) -> DeclaredValues:
        if event.linked:
            self._link(event)
        alias = self._find_alias((event.project, event.person))
        key = (event.project, event.person if alias is None else find_user(alias, event.time_ms))
        if values_of_event:
            self._learn(key, [KnownTrait(*value, event.time_ms) for value in values_of_event])
        values = self._values.get(key)
        if values is None:
            texts = {trait.name: trait.text for trait in self.find_traits(key)}
            names = self._projects[event.project].user_traits
            values = self._values[key] = tuple([(name, texts.get(name, "")) for name in names])
        return values

    def _learn(self, key: PersonKey, traits: Iterable[KnownTrait]) -> None:
        """Nothing is learned of somebody who was erased."""
        before = self._find(key)
        if before is not None:
            self._traits[key] = unite_traits(before, traits)
            self._values.pop(key, None)

    def _link(self, event: DecodedEvent) -> None:
        """An anonymous id becomes its user's; with the first link, what is known of it does too."""
        key = (event.project, event.linked)
        alias = self._find_alias(key)
        if alias is None:
            after = self._values_after(key)
            if not isinstance(after, Alias):  # the id is erased
                return
            alias = Alias(after.heir, -1, [])
            self._learn((event.project, after.heir), self.find_traits(key))
        self._aliases[key] = with_link(alias, event.time_ms, event.person)[0]

    def _find_alias(self, key: PersonKey) -> Alias | None:
        if key not in self._aliases:
            value = self._values_before(key)
            self._aliases[key] = value if isinstance(value, Alias) else None
        return self._aliases[key]

    def _find(self, key: PersonKey) -> KnownTraits | None:
        if key not in self._traits:
            value, names = self._values_before(key), self._projects[key[0]].user_traits
            if value is None:
                self._traits[key] = ()
            elif isinstance(value, Person):
                self._traits[key] = tuple([trait for trait in value.traits if trait.name in names])
            else:
                self._traits[key] = None
        return self._traits[key]


def unite_traits(traits: Iterable[KnownTrait], other_traits: Iterable[KnownTrait]) -> KnownTraits:
    """The latest of each trait, in order of their names."""
    latest: dict[str, KnownTrait] = {}
    for trait in (*traits, *other_traits):
        other = latest.get(trait.name)
        if other is None or (trait.time_ms, trait.text) > (other.time_ms, other.text):
            latest[trait.name] = trait
    return tuple([latest[name] for name in sorted(latest)])
