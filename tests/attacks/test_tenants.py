"""What one tenant, or a stranger, cannot take from the others: key look-ups, live answers, tickets, new projects."""

from __future__ import annotations

import json
import secrets
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx

from tests import plain_http
from tests.attacks.harm import expecting_no_harm
from tests.attacks.stack import ADMIN_KEY, ATTACKER, EVENT, READ_KEY, WRITE_KEY, Api, Stack, wait_until

QUESTIONS_MAX = 500
STREAMS_AN_ADDRESS = 100
GUESSES_A_MINUTE = 300


def open_client(api: Api, key: str | None = None, source: str = ATTACKER) -> httpx.Client:
    """A client behind an address of its own, on one connection."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    transport = httpx.HTTPTransport(verify=plain_http.NO_TLS, local_address=source)
    return httpx.Client(base_url=api.url, headers=headers, transport=transport, timeout=30)


def make_project(stack: Stack) -> dict[str, str]:
    """The keys of a new project."""
    answer = stack.ask("POST", "/v1/projects", ADMIN_KEY, json={"slug": f"t-{secrets.token_hex(4)}"})
    keys: dict[str, str] = answer.raise_for_status().json()["keys"]
    return keys


def make_keys(stack: Stack, number: int) -> list[str]:
    body = {"name": "unseen", "scopes": ["collect", "read"]}
    return [stack.ask("POST", "/v1/keys", ADMIN_KEY, json=body).json()["key"] for _ in range(number)]


def test_who_guesses_keys_keeps_no_valid_key_out(stack: Stack) -> None:
    """Not of other addresses, and not of the same one; with a public write key in the body beside each guess."""
    keys, limit = make_keys(stack, 24), {"RTA_LIMITS_UNKNOWN_KEYS_PER_MINUTE": str(GUESSES_A_MINUTE)}
    with stack.running_another_api(**limit) as api, open_client(api) as attacker, expecting_no_harm(api):
        passing = attacker.post("/v1/track", json={**EVENT, "writeKey": WRITE_KEY})
        assert passing.status_code == 200

        def guess(_: int) -> int:
            bearer = {"Authorization": f"Bearer {secrets.token_urlsafe(32)}"}
            return attacker.post("/v1/track", headers=bearer, json={**EVENT, "writeKey": WRITE_KEY}).status_code

        with ThreadPoolExecutor(8) as pool:
            assert Counter(pool.map(guess, range(2 * GUESSES_A_MINUTE))).keys() <= {200}
        # None of these keys was ever seen by this process.
        with open_client(api, source=ATTACKER) as neighbour:
            for number, key in enumerate(keys):
                shown = {"Authorization": f"Bearer {key}"}
                answer = (
                    neighbour.get("/v1/metrics/events", headers=shown)
                    if number % 2
                    else neighbour.post("/v1/track", headers=shown, json=EVENT)
                )
                assert answer.status_code == 200, answer.text
            # Guesses themselves are refused, at the latest when a minute that has begun meanwhile is used up.
            guesses = ({"Authorization": f"Bearer no-{number}"} for number in range(2 * GUESSES_A_MINUTE))
            assert any(neighbour.get("/v1/metrics/events", headers=guess).status_code == 429 for guess in guesses)
        looked_up = read_signal(api, 'rta_key_lookups_total{outcome="read"}')
        assert looked_up <= GUESSES_A_MINUTE * 1.5 + len(keys)


def test_headers_of_strangers_are_kept_nowhere(stack: Stack) -> None:
    with open_client(stack, key="nope") as stranger, expecting_no_harm(stack):
        for number in range(400):
            forwarded = {"X-Forwarded-For": f"{number:06}" * 10_000}
            assert stranger.get("/v1/metrics", headers=forwarded).status_code in (401, 429, 431)


class Streams:
    """Live streams that stay open, each on a connection of its own."""

    def __init__(self, api: Api, key: str) -> None:
        self._api, self._key, self._open = api, key, list[socket.socket]()

    def open(self, number: int, query: str) -> bytes:
        """The status line of the answer."""
        connection = self._api.connect(f"127.0.0.{10 + number // STREAMS_AN_ADDRESS}")
        self._open.append(connection)
        head = f"GET /v1/live?{query} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {self._key}\r\n\r\n"
        connection.sendall(head.encode())
        return connection.recv(4096).partition(b"\r\n")[0]

    def close(self) -> None:
        for connection in self._open:
            connection.close()


def test_no_tenant_takes_the_others_live_questions(stack: Stack) -> None:
    streams = Streams(stack, make_project(stack)["read_key"])
    wait_until(lambda: count_live_connections(stack) == 0, "no stream of the test before holds a question")
    with ExitStack() as open_streams, expecting_no_harm(stack):
        open_streams.callback(streams.close)
        statuses = [streams.open(n, f"metrics=events&from=-{n + 1}m") for n in range(QUESTIONS_MAX + 5)]
        assert Counter(statuses) == {b"HTTP/1.1 200 OK": QUESTIONS_MAX, b"HTTP/1.1 503 Service Unavailable": 5}
        for number in range(3):
            with stream_of(stack, {"metrics": "events", "from": f"-{number + 1}h"}, READ_KEY) as lines:
                assert read_next_event(lines)[0] == "snapshot"
        assert read_signal(stack, 'rta_live_dropped_total{reason="share"}') >= 1


def test_a_browser_comes_back_to_any_process(stack: Stack) -> None:
    """As EventSource does: the same URL, the last id in a header, whatever has cut the line."""
    ticket = stack.ask("POST", "/v1/live/tickets").raise_for_status().json()["ticket"]
    query, last_id = {"metrics": "events", "ticket": ticket}, ""
    with stack.running_another_api() as other:
        for api in (other, stack, other, stack, stack):
            with stream_of(api, query, None, last_id) as lines:
                if api is stack and last_id:
                    stack.collect().raise_for_status()
                name, id, _ = read_next_event(lines)
                assert name in ("snapshot", "update")
                last_id = id
        for stolen in ("", "g-0-1.1", last_id[:-1] + ("A" if last_id[-1] != "A" else "B")):
            headers = {"Last-Event-ID": stolen} if stolen else {}
            assert plain_http.get(f"{other.url}/v1/live", params=query, headers=headers).status_code == 401


def test_projects_are_not_made_without_end(stack: Stack) -> None:
    admin = make_project(stack)["admin_key"]
    with stack.running_another_api(RTA_LIMITS_PROJECTS_PER_HOUR="5") as api, expecting_no_harm(api):
        bodies = [{"slug": f"m-{secrets.token_hex(4)}"} for _ in range(40)]
        statuses = Counter(api.ask("POST", "/v1/projects", admin, json=body).status_code for body in bodies)
        assert statuses == {201: 5, 429: 35}


class stream_of:  # noqa: N801  # reads as a function
    """The lines of a live stream, while it is open."""

    def __init__(self, api: Api, query: dict[str, str], key: str | None, last_id: str = "") -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        if last_id:
            headers["Last-Event-ID"] = last_id
        self._answer = plain_http.stream("GET", f"{api.url}/v1/live", params=query, headers=headers, timeout=30)

    def __enter__(self) -> Any:
        answer = self._answer.__enter__()
        assert answer.status_code == 200, answer.read()
        return answer.iter_lines()

    def __exit__(self, *error: Any) -> None:
        self._answer.__exit__(*error)


def read_next_event(lines: Any) -> tuple[str, str, Any]:
    """Its name, id and data."""
    fields = dict[str, str]()
    for line in lines:
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value
        elif not line and "event" in fields:
            break
    return fields["event"], fields.get("id", ""), json.loads(fields["data"])


def read_signal(api: Api, name: str) -> float:
    return sum(
        float(line.rpartition(" ")[2]) for line in api.read_signals().splitlines() if line.startswith(f"{name} ")
    )


def count_live_connections(api: Api) -> float:
    lines = [line for line in api.read_signals().splitlines() if line.startswith("rta_live_connections{")]
    return sum(float(line.rpartition(" ")[2]) for line in lines)
