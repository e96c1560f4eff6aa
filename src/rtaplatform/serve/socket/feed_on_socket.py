"""The event feed on a socket: a sample of the events as they arrive, and how many are left out.   Stage 6 of 6."""

from __future__ import annotations

from rtaplatform.core.errors import InvalidParameter
from rtaplatform.serve.feed.subscriptions import FeedSubscription, FeedSubscriptions
from rtaplatform.serve.socket.socket_line import SocketLine
from rtaplatform.serve.socket.socket_messages import SubscribeFeed, write_error, write_events

WAIT_S = 60.0


async def send_feed(
    feeds: FeedSubscriptions, message: SubscribeFeed, line: SocketLine, *, project: str, key: str
) -> None:
    """Send until the subscription ends. Raises InvalidParameter, Busy, SocketGone."""
    try:
        async with feeds.subscribe(project, key, message.fields) as subscription:
            await _send_events(subscription, message.id, line)
    except InvalidParameter as error:
        error.field = f"feed.{error.field}" if error.field else "feed"
        raise


async def _send_events(subscription: FeedSubscription, id: str, line: SocketLine) -> None:
    known_problem = None
    while True:
        events = await subscription.wait_for_message(WAIT_S)
        async with line.turn() as say:
            if (end := subscription.end) is not None:
                await say(write_error(id, end))
                return
            if (problem := subscription.problem) is not known_problem:
                known_problem = problem
                if problem is not None:
                    await say(write_error(id, problem))
            if events is not None:
                await say(write_events(id, events))
