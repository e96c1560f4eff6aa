"""Records with every kind of oddity, and what the workers count of them: for the tests of `process`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from rtaplatform.core.ledger import PartitionId
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.time.timestamps import format_iso_utc
from rtaplatform.core.values.murmur2 import find_bucket
from rtaplatform.process.worker.worker import Worker
from rtaplatform.simulate.oracle.oracle import ConsumedRecord, OracleRules, recount
from rtaplatform.simulate.oracle.oracle_truth import Truth
from rtaplatform.store.memory.memory_store import MemoryStore
from rtaplatform.stream.memory import MemoryBroker, MemoryLog
from rtaplatform.stream.port import Partition

NOW = 1_795_000_000_000  # 2026-11-18T11:06:40Z
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
TOPICS = {"rta.events.web": 2, "rta.events.mobile": 2, "rta.events.server": 1}
PROJECTS = [
    ProjectSettings("demo", "Europe/Berlin", "EUR", event_properties=("query", "price", "currency", "products")),
    ProjectSettings("other", "Asia/Kolkata", "USD"),
    ProjectSettings("howe", "Australia/Lord_Howe", "AUD"),
]


@dataclass(frozen=True)
class Json:
    """JSON text that goes into a record as it is."""

    text: str


@dataclass(frozen=True)
class Sent:
    """A record to be. `apart_ms` is how long after the one before it comes; None: it has no timestamp."""

    topic: str
    key: bytes
    value: bytes | None
    apart_ms: int | None
    was_collected: bool


def write_text(value: Any) -> str:
    """JSON, with what is `Json` already left alone."""
    if isinstance(value, Json):
        return value.text
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(name)}:{write_text(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(write_text, value)) + "]"
    return json.dumps(value, ensure_ascii=len(str(value)) % 2 == 0)


# What a field can be ------------------------------------------------------------------------------------------------


def draw_weighted(*choices: tuple[int, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    return st.sampled_from([of for weight, of in choices for _ in range(weight)]).flatmap(lambda of: of)


GOOD_NUMBERS = [
    "0",
    "-0",
    "1",
    "-1",
    "7",
    "1.0",
    "1.50",
    "0.00005",
    "0.00015",
    "-0.00025",
    "1e2",
    "1E+2",
    "1e-9",
    "12.34565",
    "45035996273.70496",
    "1e-400",
    "1e-99999999999999",
    "0e999",
    "0.0000000000000000000000000001",
    "0.33335",
    "2.5",
    "99.99",
    "19.95",
    "3",
    "12",
    "100",
]
ODD_NUMBERS = [
    *[
        "450359962737.0496",
        "450359962737.04964",
        "450359962737.0497",
        "-450359962737.0496",
        "1e400",
        "-1e400",
        "1e99999999999999",
    ],
    *["18446744073709551616", "9007199254740993", "123456789012345678901234567890"],
    *("1" * 100, "0." + "1" * 98, "0." + "1" * 999, "1." + "0" * 999, "1." + "0" * 998, "-0." + "0" * 998),
]
NUMBERS = GOOD_NUMBERS + ODD_NUMBERS
NOT_NUMBERS = [
    "",
    " ",
    "007",
    "+1",
    ".5",
    "5.",
    "1e",
    "1,5",
    "NaN",
    "Infinity",
    "0x10",
    "1_000",
    "٣",
    "- 1",
    "1 ",
    "--1",
    "\t12.5\u00a0",
    "1,322.22",
    "12 EUR",
]
decimal_text = st.from_regex(r"-?(0|[1-9][0-9]{0,5})(\.[0-9]{1,8})?([eE][+-]?[0-9])?", fullmatch=True)
amounts = draw_weighted(
    (6, st.sampled_from([Json(n) for n in GOOD_NUMBERS] + GOOD_NUMBERS)),
    (3, decimal_text),
    (3, decimal_text.map(Json)),
    (3, st.integers(0, 200).map(lambda n: n / 100)),
    (1, st.sampled_from([Json(n) for n in ODD_NUMBERS] + ODD_NUMBERS + NOT_NUMBERS)),
)
LONG = ["ä" * 200, "x" + "ä" * 200, "😀" * 65, "x" * 256, "x" * 257]
LONG_IDS = ["x" * 256, "x" * 257, "ä" * 128, "ä" * 128 + "x", "a\tb" * 90, Json("7" * 256), Json("7" * 257)]
EMPTIES = [[], "", False, None, Json("[ ]"), {}]
texts = st.one_of(st.text(max_size=8), st.sampled_from(["a\tb\x7f\x00", "\x80\u2028", "\x1f", "~", *LONG]))
ODD_JSON = [
    "[1e400]",
    '{"a":1e400}',
    '{"a":{"a":[{}]}}',
    '"\\ud83d\\ude00"',
    '"\\ud800"',
    '"\\ude00\\ud83d"',
    '"\\u0000"',
    "NaN",
    "01",
]
odd = st.one_of(
    st.sampled_from([None, True, False, "", [], {}, ["a"], {"a": 1}, *map(Json, NUMBERS), *map(Json, ODD_JSON)]), texts
)
times = st.one_of(
    st.sampled_from(
        [
            "2026-11-18T11:06:40.000Z", "2026-11-18T11:11:40.000Z", "2026-11-18T11:11:40.001Z", "2026-11-18",
            "2026-11-18T11:06", "2026-11-18 11:06:40,1239+01:00", "2026-11-18t11:06:40z", "2026-11-18T11:06:40-0930",
            "2026-11-18T11:06:40+05", "2026-11-18T24:00:00Z", "2026-11-18T11:06:60Z", "2026-02-30", "20261118T110640Z",
            "1999-12-31T23:59:59.999Z", "2000-01-01", "2099-12-31T23:59:59.999Z", "2100-01-01", "1969-12-31T23:59:59Z",
            "9999-12-31T23:59:59.999Z", "10000-01-01", "0001-01-01", "1970-01-01T00:00:00+23:59", "yesterday", " ", "",
            "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-04-04T15:15:00Z", "2026-11-18T11:06:40+24:00",
            "2026-11-18T11:06:40.Z", "2026-11-18T11:06:40.9999999999999999999Z", "2026-11-18T11:06Z", "２026-11-18",
            "2026-W47-3T11:06Z", "2026-322", "2026-11", "2026", "2026-11-18T11.1Z", "2026-11-18T23:59:60Z",
            "1795000000", "1795000000000", "1794999999.999", "1.795e12", "99999999999", "-1", "1795000000 ",
            "2026-11-18T11:06:4٣.000Z", "2026-11-18T11:06:40.000+01:60", "9999-12-31T23:59:59.999-12:00",
        ]
    ),
    st.integers(-500 * DAY, 2 * HOUR).map(lambda ahead: format_iso_utc(NOW + ahead)),
    st.integers(-2 * DAY, 6 * MINUTE).map(lambda ahead: NOW + ahead),
    st.integers(-2 * DAY, 6 * MINUTE).map(lambda ahead: (NOW + ahead) / 1000),
    st.sampled_from([0, -1, 10**11, 10**11 - 1, 10**15, Json("1.795e9"), Json("-0")]),
    st.integers(-2 * DAY, 5 * MINUTE).map(lambda ahead: format_iso_utc(NOW + ahead)),
)  # fmt: skip
CURRENCIES = [" EUR", "eur\n", "EUR\u200b", "\ufeffUSD", "US$", "EURO", "E UR", "€", " ", "\u0601EUR", "ＥUR", 978]
lines = st.fixed_dictionaries(
    {},
    optional={
        "product_id": st.one_of(st.sampled_from(["p1", "p2"]), odd),
        "id": st.one_of(st.sampled_from(["p3"]), odd),
        "item_id": st.one_of(st.sampled_from(["p2"]), odd),
        "price": amounts,
        "quantity": amounts,
    },
)
good_lines = st.fixed_dictionaries(
    {"product_id": st.sampled_from(["p1", "p2", Json("7.50")])},
    optional={"price": st.sampled_from(["1.25", 3, Json("0.33333")]), "quantity": st.sampled_from([1, 2, Json("0.5")])},
)
# Each partition has orders of its own (`log_of`): of two equal ones in several, whichever is read first would count.
order_ids = draw_weighted(
    (8, st.sampled_from(["o1", "o2"])),
    (2, st.sampled_from([None, "", " ", "undefined", 0, Json("0.0"), "\tNULL", True, [], {"a": 1}, "-"])),
    (1, st.sampled_from(["x" * 257, "ä" * 128 + "x", Json("7" * 257)])),
)
entries = draw_weighted(
    (5, st.lists(good_lines, max_size=4)),
    (3, st.lists(lines, max_size=3)),
    (2, st.lists(st.one_of(lines, st.sampled_from([*EMPTIES, 5, "p1"])), max_size=3)),
    (2, st.dictionaries(st.sampled_from(["0", "2", "p1"]), st.one_of(lines, odd), max_size=3)),
    (1, odd),
)
properties = st.fixed_dictionaries(
    {},
    optional={
        "product_id": draw_weighted((5, st.sampled_from(["p1", "p2"])), (4, odd), (1, st.sampled_from(LONG_IDS))),
        "order_id": order_ids,
        "price": draw_weighted((5, amounts), (1, odd)),
        "quantity": amounts,
        "revenue": amounts,
        "total": amounts,
        "currency": st.one_of(st.sampled_from(["EUR", "eur", "USD", "", "ß", *CURRENCIES]), odd),
        "products": entries,
        "id": draw_weighted((5, st.sampled_from(["p1", 7])), (1, odd), (1, st.sampled_from(LONG_IDS))),
        "orderId": order_ids,
        "transaction_id": order_ids,
        "value": amounts,
        "items": entries,
    },
)
good_properties = st.fixed_dictionaries(
    {"product_id": st.sampled_from(["p1", "p2"])},
    optional={"products": st.lists(good_lines, max_size=4), "currency": st.sampled_from(["EUR", "USD"])},
)
EVENTS = [
    "Product Viewed", "Product Added", "Product Removed", "Checkout Started", "Order Completed", "Order Refunded",
    "Order Cancelled", "Order\tCompleted",
]  # fmt: skip
FOREIGN = [
    "Viewed Product", "Added Product", "Removed Product", "Completed Order", "view_item", "add_to_cart",
    "remove_from_cart", "begin_checkout", "purchase", "refund",
]  # fmt: skip
good = {
    "projectId": st.sampled_from(["demo", "other", "howe"]),
    "type": st.sampled_from(["track", "track", "track", "page", "screen", "identify", "group", "alias"]),
    "event": draw_weighted(
        (2, st.sampled_from([*EVENTS, "Order Completed", "Signed Up", "$page", "\\$page", "$x"])),
        (1, st.sampled_from(FOREIGN)),
    ),
    "messageId": draw_weighted((20, st.sampled_from(["m1", "m2", "m3", "m4", 5])), (1, st.sampled_from(LONG_IDS))),
    "anonymousId": draw_weighted((20, st.sampled_from(["a1", "a2"])), (1, st.sampled_from(LONG_IDS))),
}


def draw_inner(*members: str) -> st.SearchStrategy[Any]:
    """An object of the context."""
    return st.one_of(st.fixed_dictionaries({}, optional={name: st.one_of(texts, odd) for name in members}), odd)


usual = {
    "userId": st.sampled_from(["u1", "a1", None, ""]),
    "source": st.sampled_from(["web", "ios", "android", "server", "WEB"]),
    "timestamp": times,
    "originalTimestamp": st.one_of(times, st.none()),
    "marks": st.sampled_from([None, [], ["made_id"], ["bot:agent"], ["x", "bot:"], ["bot"], [""]]),
    "properties": draw_weighted((5, good_properties), (8, properties), (1, st.sampled_from(EMPTIES))),
    "context": st.fixed_dictionaries(
        {},
        optional={
            "location": draw_inner("country", "region"),
            "device": draw_inner("type"),
            "os": draw_inner("name"),
            "page": draw_inner("path", "url"),
            "referrer": draw_inner("host"),
            "campaign": draw_inner("source", "medium", "name"),
            "channel": st.one_of(texts, odd),
            "locale": st.one_of(st.sampled_from(["de-CH", "DE_at", "fr", "-", "x_y-z"]), odd),
        },
    ),
}
replaced = st.dictionaries(st.sampled_from([*good, *usual]), odd, max_size=2)
removed = st.sets(st.sampled_from([*good, *usual]), max_size=2)
shaken = st.sampled_from([0, 0, 0, 1])


def _make_message(fields: dict[str, Any], others: dict[str, Any], out: set[str], is_shaken: int) -> dict[str, Any]:
    message = {**fields, **(others if is_shaken else {})}
    return {name: value for name, value in message.items() if not (is_shaken and name in out)}


messages = st.builds(_make_message, st.fixed_dictionaries(good, optional=usual), replaced, removed, shaken)


def _nest(opening: str, closing: str, times_: int) -> str:
    return opening * times_ + "1" + closing * times_


TAILS = [b" ", b"}", b"\x00", b",", b"{}", b"\xff", b"\xc3", b"[" * 40, b":" * 1_001, b"\n\t\r ", b"\xef\xbb\xbf", b'"']
EXTRAS = [
    *(_nest("[", "]", 31), _nest("[", "]", 32), _nest('{"a":', "}", 31), _nest('{"a":', "}", 32)),
    *("{" + ",".join(f'"k{n}":0' for n in range(keys)) + "}" for keys in (1_000, 1_001, 1_016, 1_017)),
    *("[" + ",".join(["{}"] * 50) + "]", '"' + "[" * 50 + '"', '"\\"' + "[{" * 50 + '"', '"' + ":" * 1_001 + '"'),
    *(
        '"' + "x" * 32_000 + '"',
        '"' + "x" * 40_000 + '"',
        '"\\\\"',
        "[}",
        "]",
        '{"a":1,"a":2}',
        "[1e400, -0.0]",
        "nul",
        "'a'",
    ),
]
VALUES = [None, b"", b"{}", b"[]", b"[1,", b"null", b"nulll", b"5", b'"x"', b'"x', b"\xef\xbb\xbf{}", b"[" * 33]


def _make_value(message: dict[str, Any], extra: str | None, tail: bytes, cut: int) -> bytes:
    text = write_text(message)
    if extra is not None:
        text = text[:-1] + (',"extra":' if message else '"extra":') + extra + "}"
    value = text.encode() + tail
    return value[: len(value) - cut] if cut else value


values = draw_weighted(
    (12, st.builds(_make_value, messages, st.none(), st.just(b""), st.just(0))),
    (2, st.builds(_make_value, messages, st.sampled_from(EXTRAS), st.just(b""), st.just(0))),
    (1, st.builds(_make_value, messages, st.none(), st.sampled_from(TAILS), st.sampled_from([0, 1, 2, 20]))),
    (1, st.sampled_from(VALUES)),
    (1, st.integers(32_700, 32_800).map(lambda size: b'{"projectId":"demo"}'.ljust(size))),
    (1, st.binary(max_size=30)),
)
sent = st.builds(
    Sent,
    topic=st.sampled_from(list(TOPICS)),
    key=st.sampled_from([b"", b"demo:a1", b"demo:a2", b"\xff"]),
    value=values,
    apart_ms=st.sampled_from(
        [0, 1, 1_000, 50_000, HOUR, DAY - 1, DAY, 3 * DAY, 7 * DAY - 1, 7 * DAY, -HOUR, None, 31 * DAY]
    ),
    was_collected=st.booleans(),
)


# What the workers and the oracle make of them ------------------------------------------------------------------------


def make_log(records: Iterable[Sent]) -> MemoryBroker:
    broker, now = MemoryBroker(TOPICS), NOW
    for item in records:
        now += item.apart_ms or 0
        partition = Partition(item.topic, find_bucket(item.key, TOPICS[item.topic]))
        value = item.value
        for order in (b'"o1"', b'"o2"'):
            value = value and value.replace(order, order[:-1] + f'-{partition}"'.encode())
        record = broker.append(partition, -1 if item.apart_ms is None else now, item.key, value)
        record.was_collected = item.was_collected
    return broker


def count_by_a_worker(broker: MemoryBroker, *, batch_max: int = 100, shards: int = 1) -> MemoryStore:
    """The store after one worker has read the log to its end."""
    store = MemoryStore(shards)
    for shard in range(shards):
        starts = {PartitionId(topic_id, 0): 0 for topic_id in broker.ids.values()}
        store.begin(shard, expected="", generation="g1", topics=dict(broker.ids), starts=starts)
    store.set_projects(PROJECTS, "v1")
    log = MemoryLog(broker, batch_max)
    log.assign(broker.list_partitions())
    worker = Worker(log, log, store, shards=shards, sleep=lambda _: None, clock=lambda: 0.0)
    # A turn reads a record at least; where a block expires under the batch after it, both are read once more.
    for _ in range(4 * sum(map(len, broker.records.values())) + 2):
        worker.turn()
        if worker.is_settled and all(
            worker.positions.find_next_read_offset(p) == len(r) for p, r in broker.records.items()
        ):
            break
    assert worker.is_settled
    assert not worker.positions.stops
    return store


def count_by_the_oracle(broker: MemoryBroker) -> Truth:
    consumed_records = (
        ConsumedRecord(
            p.topic, p.number, r.offset, None if r.timestamp_ms < 0 else r.timestamp_ms, r.key, r.value,
            (("rta-collected", b"1"),) if r.was_collected else (),
        )
        for p, records in broker.records.items()
        for r in records
    )  # fmt: skip
    rules = {p.slug: OracleRules(p.zone, p.currency, event_properties=p.event_properties) for p in PROJECTS}
    return recount(consumed_records, projects={slug: rule._asdict() for slug, rule in rules.items()})
