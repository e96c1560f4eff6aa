"""What `rta migrate` refuses before it changes anything."""

from __future__ import annotations

import pytest

from rtaplatform.core.errors import SetupError
from rtaplatform.operate.operations import require_safe_partitions
from rtaplatform.settings import TopicSettings


@pytest.mark.parametrize("partitions", [1, 2, 4, 8, 16])
def test_topics_whose_partitions_divide_the_slices_are_taken(partitions: int) -> None:
    require_safe_partitions({"rta.events.web": ("id", partitions)})
    assert TopicSettings(partitions=partitions).partitions == partitions


@pytest.mark.parametrize(
    ("partitions", "remedy"), [(3, "until there are 4"), (6, "until there are 8"), (12, "16"), (24, "again")]
)
def test_others_are_refused_with_the_topic_and_what_helps(partitions: int, remedy: str) -> None:
    with pytest.raises(SetupError, match=f"rta.events.web has {partitions}.*{remedy}"):
        require_safe_partitions({"rta.events.mobile": ("id", 4), "rta.events.web": ("id", partitions)})
    with pytest.raises(ValueError, match=r"1, 2, 4, 8 or 16|less than or equal to 16"):
        TopicSettings(partitions=partitions)
