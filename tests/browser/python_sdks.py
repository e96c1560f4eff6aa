"""The same visits through each Python SDK, as its users write them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import stamina
from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent
from posthog import Posthog
from rudderstack.analytics.client import Client as RudderClient  # type: ignore[import-untyped]  # it has no types
from segment.analytics.client import Client as SegmentClient  # type: ignore[import-untyped]  # it has no types

CLICKS, PEOPLE = 20, 5
ORDER = {"order_id": "o-1", "revenue": 12.5, "currency": "EUR"}
# What every SDK sends: the clicks, an identify and an order, which have one person each.
EVENTS, ORDERS, REVENUE = CLICKS + 2, 1, 12.5
Errors = list[Any]


def name_person(number: int) -> str:
    return f"u-{number % PEOPLE}"


def send_by_segment(host: str, key: str, errors: Errors, size: int = 1) -> None:
    client = SegmentClient(key, host=host, gzip=True, on_error=lambda error, _: errors.append(error))
    _send_calls(client, size)
    client.shutdown()


def send_by_rudderstack(host: str, key: str, errors: Errors, size: int = 1) -> None:
    client = RudderClient(key, host=host, on_error=lambda error, _: errors.append(error))
    _send_calls(client, size)
    client.shutdown()


def _send_calls(client: Any, size: int) -> None:
    client.identify("u-0", {"plan": "pro"})
    for number in range(CLICKS):
        client.track(name_person(number), "Clicked", {"number": number, "text": "x" * size})
    client.track("u-0", "Order Completed", ORDER)


def send_by_posthog(host: str, key: str, errors: Errors, size: int = 1) -> None:
    client = Posthog(key, host=host, gzip=True, on_error=lambda error, _: errors.append(error))
    client.set(distinct_id="u-0", properties={"plan": "pro"})
    for number in range(CLICKS):
        client.capture("Clicked", distinct_id=name_person(number), properties={"number": number, "text": "x" * size})
    client.capture("Order Completed", distinct_id="u-0", properties=ORDER)
    client.shutdown()


def send_by_cloudevents(host: str, key: str, errors: Errors, size: int = 1) -> None:
    """Structured and binary events in turn. The SDK makes the requests, and leaves sending to its users."""
    events = [CloudEvent({"type": "identify", "source": "/test"}, {"userId": "u-0", "traits": {"plan": "pro"}})]
    for number in range(CLICKS):
        attributes = {"type": "Clicked", "source": "/test", "userid": name_person(number)}
        events.append(CloudEvent(attributes, {"number": number, "text": "x" * size}))
    events.append(CloudEvent({"type": "Order Completed", "source": "/test", "userid": "u-0"}, dict(ORDER)))
    client = httpx.Client(base_url=host, timeout=30)
    for number, event in enumerate(events):
        message = to_structured_event(event) if number % 2 else to_binary_event(event)
        body = message.body if isinstance(message.body, bytes) else json.dumps(message.body).encode()
        headers = {**message.headers, "Authorization": f"Bearer {key}"}
        _send(client, "/v1/cloudevents", body, headers, errors)


def send_by_ga4(host: str, key: str, errors: Errors, size: int = 1) -> None:
    """Requests of GA4's Measurement Protocol, as Google describes them: it has no SDK. Each is about one person."""
    now_us = time.time_ns() // 1_000
    clicks = [{"name": "Clicked", "params": {"number": number, "text": "x" * size}} for number in range(CLICKS)]
    purchase = {"name": "purchase", "params": {"transaction_id": "o-1", "value": REVENUE, "currency": "EUR"}}
    requests: list[dict[str, Any]] = [
        {"client_id": f"1.{name_person(number)}", "user_id": name_person(number), "events": [click]}
        for number, click in enumerate(clicks)
    ]
    plan = {"plan": {"value": "pro"}}
    requests.append({"client_id": "1.u-0", "user_id": "u-0", "user_properties": plan, "events": [purchase]})
    client = httpx.Client(base_url=host, timeout=30)
    for request in requests:
        body = json.dumps({**request, "timestamp_micros": now_us}).encode()
        _send(client, f"/mp/collect?measurement_id=G-1&api_secret={key}", body, {}, errors)


def _send(client: httpx.Client, path: str, body: bytes, headers: dict[str, str], errors: Errors) -> None:
    try:
        _post_until_taken(client, path, body, headers)
    except httpx.HTTPStatusError as error:
        errors.append(error)


def _is_temporary(error: Exception) -> bool:
    return isinstance(error, httpx.HTTPStatusError) and error.response.status_code == 503


@stamina.retry(on=_is_temporary, attempts=5, wait_initial=0.1)
def _post_until_taken(client: httpx.Client, path: str, body: bytes, headers: dict[str, str]) -> None:
    client.post(path, content=body, headers=headers).raise_for_status()


PYTHON_SDKS: dict[str, Callable[..., None]] = {
    "segment": send_by_segment,
    "rudderstack": send_by_rudderstack,
    "posthog": send_by_posthog,
    "cloudevents": send_by_cloudevents,
    "ga4": send_by_ga4,
}
