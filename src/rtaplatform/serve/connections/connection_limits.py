"""The limits of one API process: on connections, requests, bodies and responses."""

from __future__ import annotations

from dataclasses import dataclass, field

from rtaplatform.collect.cooperative_queue import CooperativeQueue
from rtaplatform.serve.connections.body_receiver import GRACE_SECONDS
from rtaplatform.serve.connections.byte_budget import ByteBudget
from rtaplatform.serve.connections.connection_guard import ConnectionGuard
from rtaplatform.serve.connections.deadlines import Deadlines
from rtaplatform.serve.connections.exchanges import Exchanges
from rtaplatform.serve.connections.networks import is_within
from rtaplatform.settings import ApiSettings

BODY_LOOK_SECONDS = 0.5  # between looks for bodies that take too long
BODY_WAIT_SECONDS = 10.0  # a large body waits so long for room: as long as for Kafka
ANSWER_WAIT_SECONDS = 1.0
ANSWERS_WAITING_MAX = 4  # each is in memory already
STALLED_SECONDS_MAX = 20.0  # for a piece of a response, however small its client's window is
MESSAGES_BYTES_MAX = 6 << 20  # of sockets: the server takes a message whole, however slowly its client reads it
MESSAGE_WAIT_SECONDS = 20.0


@dataclass(frozen=True)
class ConnectionLimits:
    guard: ConnectionGuard
    bodies: ByteBudget
    answers: ByteBudget
    messages: ByteBudget
    receives: Deadlines
    sends: Deadlines
    live_sends: Deadlines
    turns: CooperativeQueue = field(default_factory=CooperativeQueue)
    exchanges: Exchanges = field(default_factory=Exchanges)


def make_connection_limits(settings: ApiSettings, trusted_proxies: str = "") -> ConnectionLimits:
    return ConnectionLimits(
        guard=ConnectionGuard(settings.connections_max, is_exempt=is_within(trusted_proxies)),
        bodies=ByteBudget("bodies", settings.bodies_bytes_max, wait_seconds=BODY_WAIT_SECONDS),
        answers=ByteBudget(
            "answers",
            settings.answers_bytes_max,
            wait_seconds=ANSWER_WAIT_SECONDS,
            waiting_max=ANSWERS_WAITING_MAX,
        ),
        messages=ByteBudget("messages", MESSAGES_BYTES_MAX, wait_seconds=MESSAGE_WAIT_SECONDS),
        receives=Deadlines(GRACE_SECONDS, BODY_LOOK_SECONDS),
        sends=Deadlines(STALLED_SECONDS_MAX),
        live_sends=Deadlines(settings.live_send_timeout_seconds),
    )
