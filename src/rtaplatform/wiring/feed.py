"""Build the event feed of an API process, and the search for dead letters of API and command line."""

from __future__ import annotations

from rtaplatform.core.events import DEAD_LETTERS_TOPIC, EVENT_TOPICS, REJECTED_TOPIC
from rtaplatform.feed.event_feed import EventFeed
from rtaplatform.feed.event_items import DEAD, REJECTED
from rtaplatform.feed.letter_replay import LetterReplay
from rtaplatform.feed.letter_search import LetterSearch
from rtaplatform.settings import KafkaSettings
from rtaplatform.stream.kafka.record_tail import KafkaTail
from rtaplatform.stream.kafka.replay_log import KafkaReplays

LETTERS_AT_ONCE = 100  # each may have half a megabyte


def build_feed(kafka: KafkaSettings) -> EventFeed:
    """Build the feed. It opens nothing before somebody looks."""
    return EventFeed(KafkaTail(kafka, (*EVENT_TOPICS, REJECTED_TOPIC, DEAD_LETTERS_TOPIC)))


def build_letters(kafka: KafkaSettings) -> tuple[LetterSearch, LetterReplay]:
    """Build the search and the replay. They open nothing before somebody asks."""
    topics = {DEAD: DEAD_LETTERS_TOPIC, REJECTED: REJECTED_TOPIC}
    search = LetterSearch({kind: KafkaTail(kafka, (topic,), LETTERS_AT_ONCE) for kind, topic in topics.items()})
    return search, LetterReplay(search, KafkaReplays(kafka))
