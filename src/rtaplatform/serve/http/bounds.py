"""What bounds connections, requests, bodies and answers of one API process."""

from __future__ import annotations

from dataclasses import dataclass, field

from rtaplatform.collect.turns import Turns
from rtaplatform.serve.http.exchanges import Exchanges
from rtaplatform.serve.http.held import Held
from rtaplatform.serve.http.networks import is_within
from rtaplatform.serve.http.warden import Warden
from rtaplatform.settings import ApiSettings

BODY_WAIT_SECONDS = 10.0  # a large body waits so long for others to be done: not longer than for Kafka
ANSWER_WAIT_SECONDS = 1.0
ANSWERS_WAITING_MAX = 4  # they are in memory already


@dataclass(frozen=True)
class Bounds:
    warden: Warden
    bodies: Held
    answers: Held
    turns: Turns = field(default_factory=Turns)
    exchanges: Exchanges = field(default_factory=Exchanges)


def make_bounds(settings: ApiSettings, trusted_proxies: str = "") -> Bounds:
    return Bounds(
        warden=Warden(settings.connections_max, is_exempt=is_within(trusted_proxies)),
        bodies=Held("bodies", settings.bodies_bytes_max, wait_seconds=BODY_WAIT_SECONDS),
        answers=Held(
            "answers",
            settings.answers_bytes_max,
            wait_seconds=ANSWER_WAIT_SECONDS,
            waiting_max=ANSWERS_WAITING_MAX,
        ),
    )
