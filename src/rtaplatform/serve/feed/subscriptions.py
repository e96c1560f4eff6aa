"""Subscriptions to the event feed, for every kind of live line: SSE and WebSocket.   Stage 6 of 6: feed → [serve].

Limits: STREAMS_MAX subscriptions in this process, shared fairly between projects and keys as live streams are.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from rtaplatform import telemetry
from rtaplatform.analytics.live.fair_shares import FairShares, ShareHolder
from rtaplatform.core.errors import Busy, PlatformError
from rtaplatform.feed.event_feed import EventFeed, RecentEvents
from rtaplatform.feed.feed_filter import parse_feed_filter
from rtaplatform.feed.feed_listener import FeedListener, FeedMessage

STREAMS_MAX = 200


class FeedSubscription:
    """One subscription. `wait_for_message` gives its messages; `end` says why it is over."""

    def __init__(self, feed: EventFeed, listener: FeedListener) -> None:
        self._feed, self._listener = feed, listener
        self._lost_place: Busy | None = None

    async def wait_for_message(self, seconds: float) -> FeedMessage | None:
        """Wait for the next message, at most this long. After None look at `problem` and `end`."""
        return await self._listener.wait_for_message(seconds)

    @property
    def problem(self) -> PlatformError | None:
        """Why there are no events for the moment. The subscription goes on by itself."""
        return self._listener.problem

    @property
    def end(self) -> PlatformError | None:
        """Why no more messages come."""
        return Busy("This process stops. Connect again.") if self._feed.is_closing else self._lost_place

    def wake(self) -> None:
        """Let `wait_for_message` return now."""
        self._listener.wake()

    def give_way(self) -> None:
        """End it: its place was given to somebody who has fewer."""
        telemetry.LIVE_DROPPED.labels("share").inc()
        self._lost_place = Busy("The place of this feed was needed for somebody who has fewer.", retry_after_seconds=30)
        self.wake()


class FeedSubscriptions:
    """All feeds of this process."""

    def __init__(self, feed: EventFeed, streams_max: int = STREAMS_MAX) -> None:
        self._feed, self._streams_max = feed, streams_max
        self._places: FairShares[FeedSubscription] = FairShares(streams_max)

    async def read_recent(self, project: str, fields: Mapping[str, Any], limit: int) -> RecentEvents:
        """The newest events of a project. `fields` are those of a filter. Raises InvalidParameter, Unavailable."""
        return await self._feed.read_recent(project, parse_feed_filter(fields), limit)

    @asynccontextmanager
    async def subscribe(self, project: str, key: str, fields: Mapping[str, Any]) -> AsyncIterator[FeedSubscription]:
        """Subscribe to a project's events from now on. Raises InvalidParameter, Busy.

        `key` is the id of the key, `fields` are those of a filter: `{"event": ["a"], "source": ["web"]}`.
        """
        async with self._feed.listen(project, parse_feed_filter(fields)) as listener:
            subscription = FeedSubscription(self._feed, listener)
            self._take_place(ShareHolder(project, key), subscription)
            telemetry.LIVE_CONNECTIONS.labels("feed").inc()
            try:
                yield subscription
            finally:
                telemetry.LIVE_CONNECTIONS.labels("feed").dec()
                self._places.leave(subscription)

    def _take_place(self, holder: ShareHolder, subscription: FeedSubscription) -> None:
        old_subscriptions = self._places.take(holder, subscription)
        for other in old_subscriptions.given_up:
            other.give_way()
        if not old_subscriptions.is_held:
            raise Busy(f"{self._streams_max} feeds are open, and this key has its share.", retry_after_seconds=10)
