"""Unchanged Python SDKs against the platform: what they send is what is counted, whatever happens on the way."""

from __future__ import annotations

from typing import Any

import pytest

from tests import plain_http
from tests.browser.flaky_proxy import FlakyProxy
from tests.browser.live_platform import LivePlatform, LiveProject, wait_for
from tests.browser.python_sdks import CLICKS, EVENTS, ORDERS, PEOPLE, PYTHON_SDKS, REVENUE

TOO_LARGE = 40_000  # more than an event may have, and less than the SDKs refuse themselves


def read_duplicates(project: LiveProject) -> int:
    answer = plain_http.get(
        f"{project.platform.url}/v1/metrics/events", params={"from": "-60m"}, timeout=30,
        headers={"Authorization": f"Bearer {project.read_key}"},
    )  # fmt: skip
    duplicates: int = answer.json()["meta"]["duplicates"]
    return duplicates


def expect_the_truth(project: LiveProject, *, repeated: int) -> None:
    """Every number is that of what was sent, after all of it was sent again."""
    wait_for(lambda: read_duplicates(project) == repeated, f"{repeated} repeats, are {read_duplicates(project)}")
    assert project.read_totals("events", breakdown="event") == {
        ("Clicked",): CLICKS, ("$identify",): 1, ("Order Completed",): ORDERS,
    }  # fmt: skip
    assert (project.read_total("visitors"), project.read_total("orders"), project.read_total("revenue")) == (
        PEOPLE,
        ORDERS,
        REVENUE,
    )


@pytest.mark.parametrize("sdk", PYTHON_SDKS)
def test_counts_are_the_truth_after_failures_and_repeats(project: LiveProject, sdk: str) -> None:
    proxy, errors = FlakyProxy(project.platform.url), list[Any]()
    PYTHON_SDKS[sdk](proxy.url, project.write_key, errors)
    expect_the_truth(project, repeated=EVENTS)
    proxy.stop()
    assert (errors, proxy.failures < 0) == ([], True)
    assert set(proxy.statuses + proxy.repeated) == {204 if sdk == "ga4" else 200}
    assert (proxy.zipped == len(proxy.statuses)) is (sdk not in ("cloudevents", "ga4"))


@pytest.mark.parametrize("sdk", PYTHON_SDKS)
def test_a_wrong_key_counts_nothing_and_is_told(platform: LivePlatform, project: LiveProject, sdk: str) -> None:
    errors: list[Any] = []
    PYTHON_SDKS[sdk](platform.url, "rta_w_wrong", errors)
    assert errors
    assert all("401" in repr(error) or "401" in str(vars(error)) for error in errors), errors
    assert project.read_total("events") == 0


@pytest.mark.parametrize("sdk", ["rudderstack", "posthog", "cloudevents", "ga4"])
def test_events_that_are_too_large_are_refused_alone(platform: LivePlatform, project: LiveProject, sdk: str) -> None:
    """Segment's SDK refuses them itself."""
    PYTHON_SDKS[sdk](platform.url, project.write_key, [], TOO_LARGE)
    wait_for(lambda: project.read_total("events") == EVENTS - CLICKS, "the events of usual size are counted")
    assert project.read_totals("events", breakdown="event").keys() == {("$identify",), ("Order Completed",)}
