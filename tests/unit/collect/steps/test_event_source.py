"""Where events come from, by what the public SDKs send."""

from __future__ import annotations

from typing import Any

import pytest

from rtaplatform.collect.steps.event_source import find_source


@pytest.mark.parametrize(
    ("library", "source"),
    [
        ("analytics.js", "web"),
        ("analytics-next", "web"),
        ("RudderLabs JavaScript SDK", "web"),
        ("@rudderstack/analytics-js", "web"),
        ("analytics-ios", "ios"),
        ("analytics-swift", "ios"),
        ("rudder-ios-library", "ios"),
        ("analytics-android", "android"),
        ("analytics-kotlin", "android"),
        ("com.rudderstack.android.sdk.core", "android"),
        ("analytics-python", "server"),
        ("segment-analytics-python", "server"),
        ("@segment/analytics-node", "server"),
        ("analytics-node", "server"),
        ("analytics-go", "server"),
        ("analytics-java", "server"),
        ("analytics-ruby", "server"),
        ("analytics-php", "server"),
        ("Analytics.NET", "server"),
    ],
)
def test_library_tells_the_source(library: str, source: str) -> None:
    assert find_source({}, {"library": {"name": library}}, is_from_browser=False) == source


@pytest.mark.parametrize(
    ("values", "context", "is_from_browser", "source"),
    [
        ({"source": "ios"}, {"library": {"name": "analytics.js"}}, True, "ios"),
        ({"source": "fridge"}, {}, False, "server"),
        ({"source": 5}, {}, True, "web"),
        ({"channel": "web"}, {}, False, "web"),
        ({"channel": "mobile"}, {"os": {"name": "iOS"}}, False, "ios"),
        ({"channel": "mobile"}, {}, False, "android"),
        ({"channel": "server"}, {}, True, "server"),
        ({}, {"library": {"name": "analytics-react-native"}, "device": {"type": "ios"}}, False, "ios"),
        ({}, {"device": {"type": "android"}}, False, "android"),
        ({}, {"os": {"name": "iPadOS"}}, False, "ios"),
        ({}, {"library": {"name": "analytics.js"}, "os": {"name": "Android"}}, False, "web"),
        ({}, {"device": {"type": "phone"}}, True, "web"),
        ({}, {"page": {"url": "https://example.com"}}, False, "web"),
        ({}, {}, True, "web"),
        ({}, {}, False, "server"),
        ({}, {"library": "x", "device": 3, "os": None, "page": []}, False, "server"),
    ],
)
def test_the_first_rule_with_an_answer_decides(
    values: dict[str, Any], context: dict[str, Any], is_from_browser: bool, source: str
) -> None:
    assert find_source(values, context, is_from_browser) == source
