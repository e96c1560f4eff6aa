"""The instruments themselves: what they must notice, and that ordinary use is no harm."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.attacks.harm import LiveProbe, expecting_no_harm
from tests.attacks.stack import Stack


def test_ordinary_use_does_no_harm(stack: Stack) -> None:
    with expecting_no_harm(stack):
        for number in range(200):
            assert stack.collect(anonymousId=f"a-{number}").status_code == 200
        for _ in range(50):
            assert stack.ask("GET", "/v1/metrics/events").status_code == 200


def test_probe_notices_that_the_api_stands(stack: Stack) -> None:
    probe = LiveProbe(stack.port)
    os.kill(stack.api_pid, signal.SIGSTOP)
    time.sleep(0.5)
    os.kill(stack.api_pid, signal.SIGCONT)
    probed = probe.stop()
    assert probed.longest_seconds > 0.4
    assert probed.failures == []


def test_growth_beyond_the_limit_is_a_failure(stack: Stack) -> None:
    # Below zero, so that no growth at all is beyond it too: the API may have room left for this request.
    with pytest.raises(AssertionError, match="RSS"), expecting_no_harm(stack, rss_growth_bytes_max=-(64 << 20)):
        assert stack.collect(properties={"text": "x" * 30_000}).status_code == 200
