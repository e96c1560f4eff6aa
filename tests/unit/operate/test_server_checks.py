"""What is asked of servers that are given, without one."""

from __future__ import annotations

import pytest

from rtaplatform.core.errors import SetupError
from rtaplatform.core.events import EVENT_TOPICS
from rtaplatform.operate.server_checks import require_safe_topics


@pytest.mark.parametrize("count", [3, 6, 12, 24, 32])
def test_a_topic_in_whose_partitions_repeats_count_twice_is_named(count: int) -> None:
    topic = tuple(EVENT_TOPICS)[-1]
    with pytest.raises(SetupError, match=f"{topic} has {count}, repeats are found only with 1, 2, 4, 8, 16"):
        require_safe_topics(dict.fromkeys(EVENT_TOPICS, 4) | {topic: count})


def test_topics_that_are_safe_not_there_or_not_ours_are_no_problem() -> None:
    first, second, *_ = EVENT_TOPICS
    require_safe_topics({first: 16, second: 0, "orders.of.somebody": 3})
