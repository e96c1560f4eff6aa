"""How readers share out partitions: the group protocol, and what to do where brokers do not know it.   Stage 2 of 6.

The newer one (`consumer`, KIP-848) came with Kafka 4.0. Older brokers leave a member of it waiting without a word: the
client's own statistics tell that it has found its coordinator and is not asked to join. Then the old one takes over.
"""

from __future__ import annotations

import json
from typing import Any

from rtaplatform import telemetry

STATISTICS_MS = 1_000
JOINS_WITHIN_MS = 6_000  # newer brokers take some hundred milliseconds

log_line = telemetry.logger("stream")


class Membership:
    """The configuration of a member of the group, and whether it must be made anew with the old protocol."""

    def __init__(self, protocol: str) -> None:
        self.protocol = protocol
        self._has_joined = False
        self.is_refused = False  # by brokers that do not know the protocol

    def config(self) -> dict[str, Any]:
        if self.protocol == "classic":
            return {
                "group.protocol": "classic",
                "partition.assignment.strategy": "cooperative-sticky",
                "session.timeout.ms": 10_000,
                "heartbeat.interval.ms": 2_000,
            }
        return {
            "group.protocol": "consumer",
            # Each topic is shared out evenly. The default, "uniform", may leave all of the busiest one with one worker.
            "group.remote.assignor": "range",
            "statistics.interval.ms": STATISTICS_MS,
            "stats_cb": self.heed,
        }

    def heed(self, statistics: str) -> None:
        """What the client says of itself, once a second."""
        if self._has_joined:
            return
        group = json.loads(statistics).get("cgrp")
        if not group:
            return
        if group.get("join_state") != "init" or group.get("rebalance_cnt"):
            self._has_joined = True
        elif group.get("state") == "up" and group.get("stateage", 0) >= JOINS_WITHIN_MS:
            self.is_refused = True

    def fall_back(self, group_id: str) -> None:
        """Go on with the old protocol."""
        self.protocol, self.is_refused = "classic", False
        log_line.warning(
            "the group protocol is classic from now on",
            group=group_id,
            why="the brokers do not answer to `consumer`, which Kafka has since 4.0",
            hint="To begin with it: RTA_WORKER_GROUP_PROTOCOL=classic, RTA_PROFILES_GROUP_PROTOCOL=classic.",
        )
