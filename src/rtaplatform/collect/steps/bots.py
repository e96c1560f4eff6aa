"""Recognise bots by their user agent.   Pure; the list is that of the package crawler-user-agents.

The user agent of a visitor is `context.userAgent`, or that of a request which a browser sent. The user agent of any
other request is the sender's own: an HTTP library there is a server that reports its visitors, and not a bot.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from crawleruseragents import CRAWLER_USER_AGENTS_DATA

MARK, HEADERS_MARK, RATE_MARK = "bot:user_agent", "bot:headers", "bot:rate"
USER_AGENT_CHARACTERS_MAX = 512
AGENTS_CACHED_MAX = 8_192
_LIBRARY = "http-library"
_GRAM = 4
_PURPOSES = ("sec-purpose", "purpose", "x-purpose", "x-moz")
_AHEAD = ("prefetch", "prerender", "preview")
# Agents that call themselves bots but are not in the list. (Cubot makes telephones.)
_WORDS = ("bot", "crawler", "spider", "scraper", "headless", "selenium", "puppeteer", "webdriver")
_NAMED = re.compile(r"(?<!cu)bot\b|(?:crawler|spider|scraper)\b|headless|selenium|puppeteer|webdriver")
_IS_LITERAL = re.compile(r"(?:[^\\.^$*+?{}\[\]|()]|\\\W){4,}")


class AgentList:
    """Searches for many patterns at once. Nearly all are plain text: found by their first characters, then compared."""

    def __init__(self, patterns: Sequence[str]) -> None:
        plain = [pattern for pattern in patterns if _IS_LITERAL.fullmatch(pattern)]
        self._texts: dict[str, list[str]] = {}
        for text in (re.sub(r"\\(\W)", r"\1", pattern) for pattern in plain):
            self._texts.setdefault(text[:_GRAM], []).append(text)
        self._patterns = [re.compile(pattern) for pattern in patterns if not _IS_LITERAL.fullmatch(pattern)]

    def has_match(self, agent: str) -> bool:
        grams = {agent[n : n + _GRAM] for n in range(len(agent))}
        if any(text in agent for gram in grams & self._texts.keys() for text in self._texts[gram]):
            return True
        return any(pattern.search(agent) for pattern in self._patterns)


_CRAWLERS = AgentList([entry["pattern"] for entry in CRAWLER_USER_AGENTS_DATA if _LIBRARY not in entry["tags"]])
_LIBRARIES = AgentList([entry["pattern"] for entry in CRAWLER_USER_AGENTS_DATA if _LIBRARY in entry["tags"]])


def is_asked_by_machine(headers: Mapping[str, str]) -> bool:
    """Whether the headers of a browser's request say that nobody looks at the page.

    A page that is loaded ahead says so. A program that pretends to be a browser forgets the languages, which every
    browser sends; the check needs `Sec-Fetch-Mode`, since a proxy may take out what it does not know.
    """
    purposes = " ".join(headers.get(name) or "" for name in _PURPOSES).lower()
    if any(word in purposes for word in _AHEAD):
        return True
    claims_browser = "sec-fetch-mode" in headers and headers.get("user-agent", "").startswith("Mozilla/")
    return claims_browser and not headers.get("accept-language")


def is_bot_of_visitor(user_agent: str) -> bool:
    """Whether a visitor with this user agent is a bot: a crawler, or a program that is not a browser."""
    agent = user_agent[:USER_AGENT_CHARACTERS_MAX]
    return _is_crawler(agent) or _is_library(agent)


def is_crawler(user_agent: str) -> bool:
    """Whether a request with this user agent was sent by a crawler."""
    return _is_crawler(user_agent[:USER_AGENT_CHARACTERS_MAX])


@lru_cache(maxsize=AGENTS_CACHED_MAX)
def _is_crawler(agent: str) -> bool:
    return _names_itself_bot(agent.lower()) or _CRAWLERS.has_match(agent)


def _names_itself_bot(agent: str) -> bool:
    return any(word in agent for word in _WORDS) and _NAMED.search(agent) is not None


@lru_cache(maxsize=AGENTS_CACHED_MAX)
def _is_library(agent: str) -> bool:
    return _LIBRARIES.has_match(agent)
