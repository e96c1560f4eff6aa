"""A session in progress, and the message of each of its steps.   simulate: journey → [visits] → traffic.

Times are as the collector would write them: the client's own, corrected if its clock is wrong by over 30 s.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any, NamedTuple
from urllib.parse import urlencode

from rtaplatform.simulate.shop.journey import JourneyStep
from rtaplatform.simulate.shop.people.devices import Arrival
from rtaplatform.simulate.shop.people.visitors import VisitorClient
from rtaplatform.simulate.shop.records import draw_message_id, write_time

_SITE = "https://shop.example.com"
_SKEW_TOLERATED_MS = 30_000
_UTM = {"source": "source", "medium": "medium", "name": "campaign"}


class Visit:
    """A session: its client, the context it sends, its next step, and by how much it is sent late.

    `arrival`: what the first page of a web session tells of its origin.
    """

    __slots__ = ("arrival", "client", "context", "lag_ms", "marks", "next_step", "referrer", "source", "steps")

    def __init__(self, client: VisitorClient, source: str, steps: Iterator[JourneyStep]) -> None:
        self.client, self.source, self.steps = client, source, steps
        self.context: dict[str, Any] = client.context
        self.next_step = next(steps)
        self.referrer = ""
        self.arrival: Arrival | None = None
        self.lag_ms = 0
        self.marks: list[str] = []


class VisitSealing(NamedTuple):
    """The values that all messages of a run share. `salt` makes the messageIds of every start different."""

    project: str
    salt: int
    rng: Random


def make_message(visit: Visit, step: JourneyStep, received_ms: int, sealing: VisitSealing) -> dict[str, Any]:
    """Return the message of a step that arrives at `received_ms`."""
    client = visit.client
    message: dict[str, Any] = {"projectId": sealing.project, "type": step.type}
    if step.type == "track":
        message["event"] = step.name
    elif step.name:
        message["name"] = step.name
    message["messageId"] = draw_message_id(sealing.rng, sealing.salt)
    _add_ids(message, client, step)
    message["source"] = visit.source
    _add_times(message, visit, received_ms, sealing.rng)
    if step.type == "identify":
        message["traits"] = client.traits
    elif step.type != "alias":
        message["properties"] = step.properties
    message["context"] = _make_context(visit, step)
    if visit.marks:
        message["marks"] = visit.marks
    return message


def _add_ids(message: dict[str, Any], client: VisitorClient, step: JourneyStep) -> None:
    """A login and an alias always hold both ids; after that some clients send the userId alone."""
    user_id = client.user_id if client.is_logged_in else client.habits.lost_user_id
    if step.type == "alias":
        message["previousId"] = client.anonymous_id
    names_device = client.habits.sends_both or not client.is_logged_in or step.type in ("alias", "identify")
    if client.anonymous_id is not None and names_device:
        message["anonymousId"] = client.anonymous_id
    if user_id is not None:
        message["userId"] = user_id


def _add_times(message: dict[str, Any], visit: Visit, received_ms: int, rng: Random) -> None:
    wire_ms, wait_ms = 5 + int(rng.random() * 80), 20 + int(rng.random() * 900)
    sent_ms = received_ms - wire_ms
    own_ms = sent_ms - wait_ms - visit.lag_ms
    skew_ms = visit.client.skew_ms
    message["originalTimestamp"] = write_time(own_ms + skew_ms)
    message["sentAt"] = write_time(sent_ms + skew_ms)
    message["receivedAt"] = write_time(received_ms)
    message["timestamp"] = write_time(own_ms + wire_ms if abs(skew_ms) > _SKEW_TOLERATED_MS else own_ms)


def _make_context(visit: Visit, step: JourneyStep) -> dict[str, Any]:
    if visit.source != "web":
        return visit.context
    page = {"path": step.path, "url": _SITE + step.path, "title": step.name or "Login", "referrer": visit.referrer}
    arrival, visit.arrival, visit.referrer = visit.arrival, None, _SITE + step.path
    if arrival is None:
        return {**visit.context, "page": page}
    return {**visit.context, "page": page, **_choose_origin(arrival, page, step)}


def _choose_origin(arrival: Arrival, page: dict[str, str], step: JourneyStep) -> dict[str, Any]:
    """What the page of an arrival adds to the context. It changes the page's address and referrer."""
    origin: dict[str, Any] = {"channel": arrival.channel}
    if arrival.host:
        page["referrer"] = f"https://{arrival.host}/"
        origin["referrer"] = {"host": arrival.host}
    if arrival.campaign:
        page["url"] = f"{_SITE}{step.path}?{urlencode({f'utm_{_UTM[k]}': v for k, v in arrival.campaign.items()})}"
        origin["campaign"] = arrival.campaign
    return origin
