"""Bots by their user agent.   Pure; the list is that of the package crawler-user-agents, kept up by its community.

A visitor's user agent is `context.userAgent`, or that of a request which a browser sent. The user agent of any other
request is the sender's own: an HTTP library there is a server that reports its visitors, and no bot.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from crawleruseragents import CRAWLER_USER_AGENTS_DATA

MARK = "bot:user_agent"
USER_AGENT_CHARACTERS_MAX = 512
AGENTS_KNOWN_MAX = 8_192
_LIBRARY = "http-library"
_GRAM = 4
# What the list does not name, but calls itself so. (Cubot makes telephones.)
_WORDS = ("bot", "crawler", "spider", "scraper", "headless", "selenium", "puppeteer", "webdriver")
_NAMED = re.compile(r"(?<!cu)bot\b|(?:crawler|spider|scraper)\b|headless|selenium|puppeteer|webdriver")
_IS_LITERAL = re.compile(r"(?:[^\\.^$*+?{}\[\]|()]|\\\W){4,}")


class AgentList:
    """Many patterns, looked for at once. Nearly all are plain text: found by their first characters, then compared."""

    def __init__(self, patterns: Sequence[str]) -> None:
        plain = [pattern for pattern in patterns if _IS_LITERAL.fullmatch(pattern)]
        self._texts: dict[str, list[str]] = {}
        for text in (re.sub(r"\\(\W)", r"\1", pattern) for pattern in plain):
            self._texts.setdefault(text[:_GRAM], []).append(text)
        self._patterns = [re.compile(pattern) for pattern in patterns if not _IS_LITERAL.fullmatch(pattern)]

    def names(self, agent: str) -> bool:
        grams = {agent[n : n + _GRAM] for n in range(len(agent))}
        if any(text in agent for gram in grams & self._texts.keys() for text in self._texts[gram]):
            return True
        return any(pattern.search(agent) for pattern in self._patterns)


_CRAWLERS = AgentList([one["pattern"] for one in CRAWLER_USER_AGENTS_DATA if _LIBRARY not in one["tags"]])
_LIBRARIES = AgentList([one["pattern"] for one in CRAWLER_USER_AGENTS_DATA if _LIBRARY in one["tags"]])


def is_bot_of_visitor(user_agent: str) -> bool:
    """Whether a visitor of that user agent is a bot: a crawler, or a program that is no browser."""
    agent = user_agent[:USER_AGENT_CHARACTERS_MAX]
    return _is_crawler(agent) or _is_library(agent)


def is_crawler(user_agent: str) -> bool:
    """Whether a request of that user agent is a crawler's, whoever's events it sends."""
    return _is_crawler(user_agent[:USER_AGENT_CHARACTERS_MAX])


@lru_cache(maxsize=AGENTS_KNOWN_MAX)
def _is_crawler(agent: str) -> bool:
    return _calls_itself_one(agent.lower()) or _CRAWLERS.names(agent)


def _calls_itself_one(agent: str) -> bool:
    return any(word in agent for word in _WORDS) and _NAMED.search(agent) is not None


@lru_cache(maxsize=AGENTS_KNOWN_MAX)
def _is_library(agent: str) -> bool:
    return _LIBRARIES.names(agent)
