"""The events of a batch by whose they are, in parts by time.   Pure.   Stage 3 of 6."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from rtaplatform.process.decode.fast import DecodedEvent
from rtaplatform.process.people.person_value import SESSION_LATE_MS

# (project, the event's person, the anonymous id that it gives to its user or "") → times and dimensions of its events
EventGroups = dict[tuple[str, bytes, bytes], list[DecodedEvent]]


def split_by_time(groups: EventGroups) -> Sequence[EventGroups]:
    """The events in parts, in order of time. Within a part no event is too late for a session because of another.

    A batch of history spans days. Events of one person are in several groups (his own, one for each device), and
    groups are calculated one after the other: the newest event of one must not make those of the next too late.
    """
    times = [event.time_ms for events in groups.values() for event in events]
    if not times or max(times) - min(times) <= SESSION_LATE_MS:
        return [groups]
    slices: defaultdict[int, EventGroups] = defaultdict(dict)
    for key, events in groups.items():
        for event in events:
            slices[event.time_ms // SESSION_LATE_MS].setdefault(key, []).append(event)
    return [slices[number] for number in sorted(slices)]
