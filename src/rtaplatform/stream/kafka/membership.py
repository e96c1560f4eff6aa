"""The group protocol by which readers share partitions, with a fallback for older brokers.   Stage 2 of 6.

The newer protocol (`consumer`, KIP-848) came with Kafka 4.0. Older brokers leave a member that uses it waiting without
an error. The client's statistics then show that it has found its coordinator but does not join, and the older protocol
is used.
"""

from __future__ import annotations

import json
from typing import Any

from rtaplatform import telemetry

STATISTICS_MS = 1_000
JOIN_MS_MAX = 6_000  # newer brokers take some hundred milliseconds

log_line = telemetry.make_logger("stream")


class Membership:
    """The configuration of a group member. `is_refused`: the brokers do not know the protocol, so `fall_back`."""

    def __init__(self, protocol: str) -> None:
        self.protocol = protocol
        self._has_joined = False
        self.is_refused = False

    def make_config(self) -> dict[str, Any]:
        if self.protocol == "classic":
            return {
                "group.protocol": "classic",
                "partition.assignment.strategy": "cooperative-sticky",
                "session.timeout.ms": 10_000,
                "heartbeat.interval.ms": 2_000,
            }
        return {
            "group.protocol": "consumer",
            # This spreads each topic evenly. The default, "uniform", may give all of the busiest topic to one worker.
            "group.remote.assignor": "range",
            "statistics.interval.ms": STATISTICS_MS,
            "stats_cb": self.read_statistics,
        }

    def read_statistics(self, statistics: str) -> None:
        """Called by the client with its statistics, once a second."""
        if self._has_joined:
            return
        group = json.loads(statistics).get("cgrp")
        if not group:
            return
        if group.get("join_state") != "init" or group.get("rebalance_cnt"):
            self._has_joined = True
        elif group.get("state") == "up" and group.get("stateage", 0) >= JOIN_MS_MAX:
            self.is_refused = True

    def fall_back(self, group_id: str) -> None:
        """Use the older protocol from now on."""
        self.protocol, self.is_refused = "classic", False
        log_line.warning(
            "group protocol changed to classic",
            group=group_id,
            reason="the brokers do not answer to `consumer`, which Kafka has since 4.0",
            remedy="To begin with it: RTA_WORKER_GROUP_PROTOCOL=classic, RTA_PROFILES_GROUP_PROTOCOL=classic.",
        )
