"""One write key that would fill the store: without any setting of the operator's it takes no room of the others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import redis

from tests.attacks.harm import expecting_no_harm
from tests.attacks.stack import EVENT, Stack, wait_until
from tests.attacks.test_tenants import make_project, open_client, read_signal

GUARANTEED = 200
USED_PART = 0.75  # of the memory that the store is given, far from nearly full (0.5 here) and from full
SENT_MAX = 3 * GUARANTEED  # an hour may turn meanwhile


@contextmanager
def limiting_memory(stack: Stack) -> Iterator[None]:
    """The store may use little more than it does."""
    with redis.Redis.from_url(stack.servers.redis_tester_url) as client:
        before = client.config_get("maxmemory")["maxmemory"]
        client.config_set("maxmemory", int(client.info("memory")["used_memory"] / USED_PART))
        try:
            yield
        finally:
            client.config_set("maxmemory", before)


def test_a_store_that_is_nearly_full_is_kept_for_the_small_projects(stack: Stack) -> None:
    large, small = make_project(stack)["write_key"], make_project(stack)["write_key"]
    limits = {"GUARANTEED_EVENTS_PER_HOUR": str(GUARANTEED), "NEARLY_FULL_PERCENT": "50"}
    settings = {f"RTA_LIMITS_{name}": value for name, value in limits.items()}
    with (
        stack.running_another_api(**settings) as api,
        open_client(api, large) as flooding,
        open_client(api, small) as modest,
    ):

        def degraded() -> list[str]:
            names: list[str] = api.ask("GET", "/health/ready", None).json()["degraded"]
            return names

        with limiting_memory(stack), expecting_no_harm(api):
            wait_until(lambda: "store" in degraded(), "the API has seen that the store is nearly full")
            refused = find_first_refusal(flooding)
            assert (refused.status_code, refused.json()["code"]) == (429, "too-many-requests")
            assert "store is nearly full" in refused.json()["detail"]
            assert 1 <= int(refused.headers["Retry-After"]) <= 60
            ready = api.ask("GET", "/health/ready", None)
            assert ready.status_code == 200
            assert ready.json()["servers"]["store"].startswith("store: nearly full: ")
            assert read_signal(api, "rta_store_nearly_full") == 1
            assert {modest.post("/v1/track", json=EVENT).status_code for _ in range(20)} == {200}
        wait_until(lambda: "store" not in degraded(), "the API has seen that there is room again")
        assert flooding.post("/v1/track", json=EVENT).status_code == 200


def find_first_refusal(client: httpx.Client) -> httpx.Response:
    for _ in range(SENT_MAX):
        answer = client.post("/v1/track", json=EVENT)
        if answer.status_code != 200:
            return answer
    raise AssertionError(f"{SENT_MAX} events were taken")
