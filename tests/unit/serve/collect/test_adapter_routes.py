"""The routes of other protocols: where their key is, what they answer, what reaches Kafka."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Sequence
from typing import Any

import pytest

from rtaplatform.collect.body.draft import CollectedRecord
from rtaplatform.collect.collector import Collector
from rtaplatform.telemetry import REGISTRY
from tests.unit.serve.parts_of_tests import Reply, Site

AGENT = {"user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
PAGE = {"n": "pageview", "u": "https://shop.example/a", "d": "shop.example"}
CLOUD = {"specversion": "1.0", "id": "1", "source": "/s", "type": "Signed Up", "userid": "u"}


class Log:
    def __init__(self) -> None:
        self.values: list[dict[str, Any]] = []

    async def append(self, records: Sequence[CollectedRecord]) -> None:
        self.values += [json.loads(record.value) for record in records]


class Collecting(Site):
    def __init__(self) -> None:
        self.log = Log()
        super().__init__(collector=Collector(self.log))

    async def post(
        self, path: str, body: Any, query: bytes = b"", headers: dict[str, str] | None = None, key: str | None = None
    ) -> Reply:
        return await self.ask_raw("POST", path, query, key=key, body=body, headers={**AGENT, **(headers or {})})


@pytest.fixture(scope="module")
def module_site() -> Collecting:
    return Collecting()


@pytest.fixture
def site(module_site: Collecting) -> Collecting:
    module_site.log.values.clear()
    return module_site


async def test_plausible_s_key_is_in_the_query_and_the_answer_is_as_plausible_gives_it(site: Collecting) -> None:
    reply = await site.post("/api/event", PAGE, b"writeKey=writer", {"content-type": "text/plain"})
    assert (reply.status, reply.body) == (202, b"ok")
    [record] = site.log.values
    assert (record["projectId"], record["type"], record["source"]) == ("demo", "page", "web")
    assert record["context"]["browser"] == {"name": "Firefox"}
    assert "127.0.0.1" not in json.dumps(record)


async def test_the_same_visitor_has_the_same_id_all_day(site: Collecting) -> None:
    await site.post("/api/event", PAGE, b"writeKey=writer")
    await site.post("/api/event", PAGE, b"writeKey=writer")
    await site.post("/api/event", PAGE, b"writeKey=writer", {"user-agent": "Mozilla/5.0 (iPhone)"})
    assert len({record["anonymousId"] for record in site.log.values}) == 2


@pytest.mark.parametrize(
    ("path", "body", "place"),
    [("/api/event", PAGE, "?writeKey=KEY"),
     ("/api/send", {"type": "event", "payload": {"website": "wrong", "url": "/"}}, "`payload.website`"),
     ("/batch/", {"api_key": "wrong", "batch": []}, "`api_key`"), ("/v1/cloudevents", CLOUD, "`writeKey`"),
     ("/v1/track", {"event": "e", "writeKey": "wrong"}, "`writeKey`")],
)  # fmt: skip
async def test_no_key_no_event_and_the_answer_tells_where_the_key_belongs(
    site: Collecting, path: str, body: Any, place: str
) -> None:
    reply = await site.post(path, body)
    assert (reply.status, site.log.values) == (401, [])
    assert place in reply.json["hint"]
    assert reply.headers["access-control-allow-origin"] == "*"


async def test_the_project_comes_from_the_key_and_never_from_the_domain(site: Collecting) -> None:
    await site.post("/api/event", {**PAGE, "d": "other", "projectId": "other"}, b"writeKey=writer")
    assert site.log.values[0]["projectId"] == "demo"


async def test_umami_s_website_is_the_key(site: Collecting) -> None:
    body = {"type": "event", "payload": {"website": "writer", "hostname": "s.example", "url": "/a", "name": "Buy"}}
    reply = await site.post("/api/send", body)
    assert (reply.status, list(reply.json)) == (200, ["cache"])
    assert site.log.values[0]["event"] == "Buy"


async def test_what_is_left_out_is_told_and_counted(site: Collecting) -> None:
    def count() -> float:
        return REGISTRY.get_sample_value("rta_collect_left_out_total", {"protocol": "posthog"}) or 0.0

    before = count()
    events = [{"event": "$snapshot", "distinct_id": "u"}, {"event": "x"}, {"event": "y", "distinct_id": "u"}]
    reply = await site.post("/batch/", {"api_key": "writer", "batch": events})
    assert (reply.status, reply.json["status"], reply.json["accepted"], reply.json["left_out"]) == (200, 1, 1, 1)
    assert [refused["index"] for refused in reply.json["rejected"]] == [1]
    assert count() - before == 1


@pytest.mark.parametrize("path", ["/capture/", "/capture", "/e/", "/i/v0/e/"])
async def test_posthog_s_single_events(site: Collecting, path: str) -> None:
    event = {"event": "Signed Up", "distinct_id": "u", "properties": {"token": "writer"}}
    form = b"data=" + base64.b64encode(json.dumps(event).encode())
    for body in (json.dumps(event).encode(), gzip.compress(json.dumps(event).encode()), form):
        assert (await site.post(path, body, b"compression=gzip-js&ver=1")).status == 200
    assert [record["userId"] for record in site.log.values] == ["u"] * 3
    assert (await site.post(path, {**event, "distinct_id": None})).status == 400


@pytest.mark.parametrize("path", ["/decide/", "/flags/"])
async def test_posthog_s_features_are_off_for_everybody(site: Collecting, path: str) -> None:
    reply = await site.post(path, {"token": "any", "distinct_id": "u"}, b"v=2")
    assert (reply.status, reply.json["featureFlags"], reply.json["sessionRecording"]) == (200, {}, False)
    config = await site.ask_raw("GET", "/array/any/config", b"", key=None)
    assert (config.status, config.json["hasFeatureFlags"]) == (200, False)
    assert config.headers["access-control-allow-origin"] == "*"


async def test_cloudevents_of_all_three_forms(site: Collecting) -> None:
    assert (await site.post("/v1/cloudevents", CLOUD, key="writer")).json == {"success": True}
    headers = {f"ce-{name}": value for name, value in CLOUD.items()}
    assert (await site.post("/v1/cloudevents", b'{"a": 1}', headers=headers, key="writer")).status == 200
    batch = await site.post("/v1/cloudevents", [CLOUD, {**CLOUD, "userid": None}, 3], key="writer")
    assert (batch.status, batch.json["accepted"]) == (200, 1)
    assert [refused["reason"] for refused in batch.json["rejected"]] == ["missing_identity", "not_an_object"]
    assert {record["messageId"] for record in site.log.values} == {"/s#1"}


async def test_a_single_event_that_is_refused_says_why(site: Collecting) -> None:
    reply = await site.post("/v1/cloudevents", {**CLOUD, "type": ""}, key="writer")
    assert (reply.status, reply.json["field"], reply.json["reason"]) == (400, "event", "missing_event")
    reply = await site.post("/api/event", {"u": "https://x.example/"}, b"writeKey=writer")
    assert (reply.status, reply.json["reason"]) == (400, "missing_event")
