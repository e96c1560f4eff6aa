"""The words of an event: topics, sources, call types, reasons.   Pure; no parsing here (process/decode/fast.py)."""

from __future__ import annotations

from enum import StrEnum

# Topic → the source of its events, unless an event names its own.
EVENT_TOPICS = {"rta.events.web": "web", "rta.events.mobile": "android", "rta.events.server": "server"}
DEAD_LETTERS_TOPIC = "rta.dead-letters"  # records that cannot be counted
REJECTED_TOPIC = "rta.rejected"  # what the collector has refused
SOURCES = ("web", "ios", "android", "server")
TOPIC_OF_SOURCE = {
    "web": "rta.events.web",
    "ios": "rta.events.mobile",
    "android": "rta.events.mobile",
    "server": "rta.events.server",
}
# Call type → the name it is counted under. A track call is counted under the name of its event.
CALL_NAMES = {
    "page": "$page",
    "screen": "$screen",
    "identify": "$identify",
    "group": "$group",
    "alias": "$alias",
}
CALL_TYPES = ("track", *CALL_NAMES)

# The events of Segment's E-commerce V2 spec whose products and amounts are read.
COMMERCE_EVENTS = frozenset(
    (
        "Product Viewed", "Product Added", "Product Removed", "Checkout Started", "Order Completed", "Order Refunded",
        "Order Cancelled",
    )
)  # fmt: skip

EVENT_BYTES_MAX = 32_768
COLLECTED_BYTES_MAX = 40_960  # with the fields that the collector adds
NESTING_MAX = 32
KEYS_MAX = 1_000
COLLECTED_KEYS_MAX = 1_016  # with the keys that the collector adds
BATCH_EVENTS_MAX = 5_000
DIMENSION_BYTES_MAX = 256
AMOUNT_MAX = 2**52
FUTURE_MS_MAX = 300_000
COLLECTED_HEADER = "rta-collected"
REPLAY_HEADER = "rta-replay-of"  # the origin of the dead letter that a record replays
REPLAY_MARK = b" "  # a replay begins with it: readers look at the headers of such records only


class Reason(StrEnum):
    """Why a record is quarantined: the first that applies, in this order (docs/reference/rules.md, 1)."""

    TOO_LARGE = "too_large"
    EMPTY = "empty"
    NOT_UTF8 = "not_utf8"
    TOO_DEEP = "too_deep"
    TOO_MANY_KEYS = "too_many_keys"
    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    MISSING_PROJECT = "missing_project"
    UNKNOWN_PROJECT = "unknown_project"
    INVALID_FIELD = "invalid_field"
    UNKNOWN_TYPE = "unknown_type"
    MISSING_EVENT = "missing_event"
    MISSING_IDENTITY = "missing_identity"
    ID_TOO_LONG = "id_too_long"
    TIME_IN_FUTURE = "time_in_future"
    INTERNAL = "internal"


# The reasons that apply before the project is looked up: such a dead letter is of no project, and for operators only.
BEFORE_PROJECT = frozenset(list(Reason)[: list(Reason).index(Reason.UNKNOWN_PROJECT)])


class RecordOutcome(StrEnum):
    """What becomes of a record: exactly one of these, so `consumed` is their sum."""

    APPLIED = "applied"
    DUPLICATE = "duplicate"
    LATE = "late"
    DEAD = "dead"


class PersonNote(StrEnum):
    """What is counted where a person depends on the order in which events were read (rule 7)."""

    IDENTITY_CONFLICTS = "identity_conflicts"
    LATE_STATE = "late_state"
    LATE_LINKS = "late_links"
