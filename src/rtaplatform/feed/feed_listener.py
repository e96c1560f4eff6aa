"""One listener of the feed: what waits for it, and what was left out.   stream → [feed] → serve.

Limits: a message has at most ITEMS_MAX items, and messages come at least INTERVAL_S apart. Of what comes faster the
newest items are shown, and the rest is counted.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from msgspec import Struct

from rtaplatform.core.errors import PlatformError
from rtaplatform.feed.event_items import FeedItem
from rtaplatform.feed.feed_filter import FeedFilter

ITEMS_MAX = 50
INTERVAL_S = 0.1


class FeedMessage(Struct, frozen=True):
    """The oldest item is first. `left_out`: events of the project since the last message that are not shown."""

    items: list[FeedItem]
    left_out: int


class FeedListener:
    """Used from one event loop. `problem` is set while the log cannot be read."""

    def __init__(self, project: str, feed_filter: FeedFilter) -> None:
        self.project, self.filter = project, feed_filter
        self.problem: PlatformError | None = None
        self._items: deque[FeedItem] = deque()
        self._left_out = 0
        self._change = asyncio.Event()
        self._sent_at = float("-inf")

    def accepts(self, item: FeedItem) -> bool:
        products = item.fields.get("product_ids") or ()
        return self.filter.accepts(
            event=item.event or "", source=item.source or "", persons=item.persons.values(), products=products
        )

    def offer(self, items: Sequence[FeedItem], left_out: int) -> None:
        """Take the items that the filter accepts."""
        self._left_out += left_out
        for item in items:
            self._items.append(item)
            if len(self._items) > ITEMS_MAX:
                self._items.popleft()
                self._left_out += 1
        if items or left_out:
            self._change.set()

    def set_problem(self, problem: PlatformError | None) -> None:
        if problem is not self.problem:
            self.problem = problem
            self._change.set()

    def wake(self) -> None:
        """Let `wait_for_message` return now."""
        self._change.set()

    async def wait_for_message(self, seconds: float) -> FeedMessage | None:
        """Wait for the next message, at most this long. None if there is none, or `problem` has changed."""
        now = asyncio.get_running_loop().time
        deadline = now() + seconds
        try:
            async with asyncio.timeout_at(deadline):
                await self._change.wait()
                await asyncio.sleep(self._sent_at + INTERVAL_S - now())
        except TimeoutError:
            return None
        self._change.clear()
        if not self._items and not self._left_out:
            return None
        self._sent_at = now()
        message = FeedMessage(list(self._items), self._left_out)
        self._items.clear()
        self._left_out = 0
        return message
