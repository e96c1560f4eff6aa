"""Events of one batch with the same context are enriched once. Each gets what it gets alone."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rtaplatform.collect.body.draft import Draft, RequestClient
from rtaplatform.collect.body.envelope import draft_batch, read_batch
from rtaplatform.collect.enrich.locations import VisitorLocation
from rtaplatform.collect.enrich.user_agents import read_hints
from rtaplatform.collect.steps.steps import run_steps, run_steps_on_one
from rtaplatform.collect.steps.twins import find_twins
from tests.unit.collect.drafts import CRAWLER, make_arrival

PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Safari/604.1"
PAGE = {"url": "https://shop.example/p?utm_source=news", "referrer": "https://www.google.com/"}
CONTEXTS: list[Any] = [
    None, {}, [], {"userAgent": PHONE}, {"userAgent": CRAWLER, "page": PAGE}, {"page": PAGE, "ip": "1.2.3.4"},
    {"device": {"type": "ios", "model": "iPad"}}, {"os": {"name": ""}, "userAgent": PHONE},
    {"traits": {"email": "a@b.c", "plan": "x"}, "page": PAGE}, {"library": {"name": "analytics-node"}},
    {"userAgent": PHONE, "campaign": {"source": "mail"}, "location": {"country": "IT"}},
]  # fmt: skip
EVENTS = st.fixed_dictionaries(
    {"event": st.just("x"), "messageId": st.just("m"), "anonymousId": st.just("a")},
    optional={
        "source": st.sampled_from(["web", "ios", "nowhere", None, ["web"], 1, True]),
        "channel": st.sampled_from(["web", "mobile", "", {}, None]),
        "properties": st.sampled_from(
            [None, {}, {"url": "https://a.example/?gclid=1"}, {"url": 1, "email": "x"}, {"referrer": "https://t.co/"}]
        ),
        "marks": st.sampled_from([["bot:own"], []]),
    },
)
CLIENT = RequestClient("de", read_hints("?1", '"Android"'), VisitorLocation("DE", "DE-BE"), bot_marks=("bot:headers",))
ARRIVALS = st.sampled_from(
    [
        make_arrival(),
        make_arrival(is_from_browser=True, user_agent=PHONE, client=CLIENT, denied=frozenset({"email"})),
        make_arrival(is_from_browser=True, user_agent=CRAWLER),
    ]
)


def make_drafts(events: list[dict[str, Any]], arrival: Any, defaults: dict[str, Any]) -> list[Draft]:
    events = [{"type": "track", **event} for event in events]
    return list(draft_batch(read_batch(json.dumps({"batch": events, "context": defaults}).encode()), "demo", arrival))


@given(
    st.lists(EVENTS, max_size=6),
    st.lists(st.sampled_from(CONTEXTS), min_size=1, max_size=2),
    ARRIVALS,
    st.sampled_from([{}, {}, {"locale": "fr", "userAgent": PHONE}]),
)
def test_each_event_of_a_batch_gets_what_it_gets_alone(
    events: list[dict[str, Any]], contexts: list[Any], arrival: Any, defaults: dict[str, Any]
) -> None:
    events = [{**event, "context": contexts[n % len(contexts)]} for n, event in enumerate(events)]
    together, refused = run_steps(make_drafts(events, arrival, defaults), {})
    alone = make_drafts(events, arrival, defaults)
    assert [run_steps_on_one(draft) for draft in alone] == [None] * len(events)
    assert not refused
    assert [(draft.value, draft.source, draft.marks) for draft in together] == [
        (draft.value, draft.source, draft.marks) for draft in alone
    ]


def test_steps_that_enrich_run_once_for_a_context() -> None:
    events = [{"event": "x", "anonymousId": f"a-{n}", "context": {"userAgent": PHONE}} for n in range(5)]
    events[3]["context"] = {"userAgent": CRAWLER}
    drafts = make_drafts(events, make_arrival(), {})
    run_steps(drafts, {})
    assert len({id(draft.fields["context"]) for draft in drafts}) == 2


def test_drafts_of_two_requests_are_not_twins() -> None:
    event = {"event": "x", "anonymousId": "a", "context": {"userAgent": PHONE}}
    drafts = [make_drafts([event], make_arrival(), {})[0] for _ in range(2)]
    assert find_twins(drafts) == (drafts, [])
