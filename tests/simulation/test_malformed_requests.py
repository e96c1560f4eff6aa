"""50,000 bad requests to the collector: none is an error of ours, and every event is accounted for.

Kafka is a list here, and the rest is the application as it is served. `tests/attacks` has what only a socket can do:
wrong lengths, slow bodies and smuggling.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Sequence
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from rtaplatform.catalog.keys.key_rows import KeyAccess
from rtaplatform.collect.body.draft import CollectedRecord
from rtaplatform.collect.collector import Collector
from rtaplatform.collect.producer import Undelivered
from rtaplatform.core.events import Reason
from rtaplatform.serve.app import create_app
from rtaplatform.serve.http.dependencies import Dependencies
from rtaplatform.serve.http.health import Health
from rtaplatform.serve.http.limits import RateLimits
from rtaplatform.settings import LimitSettings
from rtaplatform.telemetry import REGISTRY
from tests.simulation.malformed_requests import CORPUS, BadRequest, make_request

PARTS, REQUESTS_OF_A_PART = 10, 4_900
EXAMPLES = 1_000  # of Hypothesis; together 50,000
AWAY_EVERY = 50
RSS_GROWTH_BYTES_MAX = 48 << 20
ACCESS = KeyAccess("demo", "prj_1", frozenset({"collect"}), "key_1")
PROBLEM = {"type", "title", "status", "detail", "code", "message"}


class Keys:
    async def find(self, key: str) -> KeyAccess | None:
        return ACCESS if key == "k" else None

    async def find_hashed(self, hashed: bytes) -> KeyAccess | None:
        return None

    async def find_from(self, address: str, key: str, *, may_guess: bool) -> KeyAccess | None:
        return await self.find(key)


class CountingLog:
    """Kafka, which is away for one call in AWAY_EVERY. Each record must be JSON of the project of the key."""

    def __init__(self) -> None:
        self.count = self.calls = self.failures = 0

    async def append(self, records: Sequence[CollectedRecord]) -> None:
        self.calls += 1
        if records and self.calls % AWAY_EVERY == 0:
            self.failures += 1
            raise Undelivered("All brokers are down", acknowledged=0, unknown=len(records))
        self.count += len(records)
        for record in records:
            assert json.loads(record.value, parse_int=str)["projectId"] == "demo"


class Intake:
    """The application, and what it has answered."""

    def __init__(self) -> None:
        self.log = CountingLog()
        no_limits = RateLimits(LimitSettings(collect_events_per_minute=0, unknown_keys_per_minute=0))
        self.app: Any = create_app(
            Dependencies(keys=Keys(), collector=Collector(self.log), health=Health({}), limits=no_limits)
        )

    async def send(self, request: BadRequest) -> None:
        failures = self.log.failures
        status, body = await self._answer(request)
        assert (status == 503) is (self.log.failures > failures), (request, status, body)
        assert 200 <= status < 500 or status == 503, (request, status, body)
        if status >= 400:
            document = json.loads(body)
            assert document.keys() >= PROBLEM, document
            assert document["status"] == status
            assert isinstance(document["detail"], str)
        elif b'"rejected"' in body:
            answer = json.loads(body)
            assert {refused["reason"] for refused in answer["rejected"]} <= set(Reason)
            assert all(refused["detail"] for refused in answer["rejected"])

    async def _answer(self, request: BadRequest) -> tuple[int, bytes]:
        headers = {"host": "test", "authorization": "Bearer k", **request.headers}
        places = [0, *request.cuts, len(request.body)]
        parts = [request.body[begin:end] for begin, end in itertools.pairwise(places)]
        messages = [
            {"type": "http.request", "body": part, "more_body": n < len(parts) - 1} for n, part in enumerate(parts)
        ]
        answers: list[Any] = []

        async def receive() -> Any:
            return messages.pop(0) if messages else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            answers.append(message)

        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "path": request.path,
            "raw_path": request.path.encode(), "query_string": request.query, "root_path": "", "scheme": "http",
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()],
            "client": ("127.0.0.1", 1), "server": ("test", 80), "state": {}, "extensions": {},
        }  # fmt: skip
        await self.app(scope, receive, send)
        return answers[0]["status"], b"".join(answer.get("body", b"") for answer in answers[1:])


def read_counts() -> dict[str, float]:
    counts = dict.fromkeys(("received", "accepted", "rejected", "unknown", "late"), 0.0)
    for family in REGISTRY.collect():
        for sample in family.samples:
            name = sample.name.removeprefix("rta_collect_").removesuffix("_total")
            if name in counts and sample.name.endswith("_total"):
                counts[name] += sample.value
    return counts


async def send_all(intake: Intake, requests: Sequence[BadRequest]) -> None:
    """Send them. What was received is accepted, rejected or, with Kafka away, unknown; Kafka has the accepted."""
    before, stored = read_counts(), intake.log.count
    for request in requests:
        await intake.send(request)
    counts = {name: value - before[name] for name, value in read_counts().items()}
    assert counts["received"] == counts["accepted"] + counts["rejected"] + counts["unknown"]
    assert counts["accepted"] == intake.log.count - stored


@pytest.fixture(scope="module")
def intake() -> Intake:
    return Intake()


@pytest.mark.parametrize("part", range(PARTS))
async def test_no_bad_request_is_an_error_of_ours_and_every_event_is_accounted_for(intake: Intake, part: int) -> None:
    chance = random.Random(part)
    requests = [make_request(chance) for _ in range(REQUESTS_OF_A_PART)]
    await send_all(intake, requests[:500])  # the first requests fill caches of bounded size
    before = psutil.Process().memory_info().rss
    stored = intake.log.count
    await send_all(intake, requests[500:])
    assert intake.log.count > stored, "no request was good: the corpus is spoilt too much to test anything"
    assert psutil.Process().memory_info().rss - before < RSS_GROWTH_BYTES_MAX


_NAMES = st.sampled_from(
    ("type", "event", "userId", "anonymousId", "messageId", "timestamp", "properties", "context", "batch", "payload",
     "n", "u", "distinct_id", "specversion", "data", "marks", "source", "traits", "api_key", "id", "website")
) | st.text(max_size=5)  # fmt: skip
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=6,
)
_BODIES = st.binary(max_size=40) | _VALUES.map(lambda value: json.dumps(value).encode(errors="surrogatepass"))
_REQUESTS = st.builds(
    BadRequest, st.sampled_from([path for path, _ in CORPUS]), st.just(b""), st.just({}), _BODIES, st.just(())
)


async def test_no_request_that_hypothesis_makes_is_an_error_of_ours(intake: Intake) -> None:
    requests: list[BadRequest] = []

    @hypothesis_settings(max_examples=EXAMPLES, database=None)
    @given(_REQUESTS)
    def collect_requests(request: BadRequest) -> None:
        requests.append(request)

    collect_requests()
    assert len(requests) >= EXAMPLES
    await send_all(intake, requests)
