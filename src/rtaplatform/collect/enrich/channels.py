"""Where a visitor comes from: the campaign, the referring host, and the channel that follows from both.   Pure.

The names of the campaign's parameters are those of Google Analytics (utm_source and its siblings). Advertisers'
networks add an id of the click to a link; it names the source of a visit whose link has no utm_source.
"""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import parse_qsl, urlsplit

from msgspec import Struct

URL_CHARACTERS_MAX = 4_096
QUERY_FIELDS_MAX = 100
URLS_CACHED_MAX = 8_192
VALUE_CHARACTERS_MAX = 256
DIRECT, SEARCH, SOCIAL, EMAIL, PAID, REFERRAL = "direct", "search", "social", "email", "paid", "referral"
CAMPAIGN_FIELDS = {
    "utm_source": "source", "utm_medium": "medium", "utm_campaign": "name",
    "utm_term": "term", "utm_content": "content",
}  # fmt: skip
# The parameter of a click's id → the source, and whether only paid links carry it.
CLICK_IDS = {
    "gclid": ("google", True), "gbraid": ("google", True), "wbraid": ("google", True), "dclid": ("google", True),
    "msclkid": ("bing", True), "ttclid": ("tiktok", True), "li_fat_id": ("linkedin", True),
    "twclid": ("twitter", True), "rdt_cid": ("reddit", True), "epik": ("pinterest", False),
    "fbclid": ("facebook", False), "igshid": ("instagram", False), "mc_eid": ("mailchimp", False),
}  # fmt: skip
_PAID_MEDIA = frozenset((
    "cpc", "ppc", "cpm", "cpv", "cpa", "cpp", "paid", "paidsearch", "paid_search", "paid-search", "paidsocial",
    "paid_social", "paid-social", "display", "banner", "retargeting", "affiliate",
))  # fmt: skip
_EMAIL_MEDIA = frozenset(("email", "e-mail", "e_mail", "mail", "newsletter"))
_SOCIAL_MEDIA = frozenset(("social", "social-network", "social-media", "sm", "social network", "social media"))
_SEARCH_MEDIA = frozenset(("organic", "search"))
# Hosts by the label before their public suffix, whatever the suffix is: google.de is google.
_SEARCH_LABELS = frozenset((
    "google", "bing", "duckduckgo", "yahoo", "yandex", "baidu", "ecosia", "qwant", "startpage", "ask", "aol",
    "seznam", "naver", "sogou", "so", "kagi",
))  # fmt: skip
_SEARCH_HOSTS = frozenset(("search.brave.com", "search.aol.com", "search.naver.com", "html.duckduckgo.com"))
_SOCIAL_LABELS = frozenset((
    "facebook", "instagram", "twitter", "linkedin", "pinterest", "reddit", "tiktok", "youtube", "snapchat",
    "threads", "vk", "weibo", "tumblr", "quora", "xing", "whatsapp", "telegram", "discord", "mastodon", "bsky",
))  # fmt: skip
_SOCIAL_HOSTS = frozenset((
    "t.co", "x.com", "lnkd.in", "fb.com", "fb.me", "t.me", "wa.me", "youtu.be", "news.ycombinator.com",
    "out.reddit.com", "redd.it", "l.instagram.com", "bsky.app",
))  # fmt: skip
_EMAIL_HOSTS = frozenset((
    "mail.google.com", "outlook.live.com", "outlook.office.com", "outlook.office365.com", "mail.yahoo.com",
    "mail.proton.me", "com.google.android.gm", "web.de", "deref-gmx.net", "deref-web.de",
))  # fmt: skip
_SECOND_LEVEL = frozenset(("co", "com", "org", "net", "ac", "gov", "edu", "or", "ne"))


class PageAddress(Struct, frozen=True):
    """What a page's address tells. `campaign` has the fields of Segment's context.campaign.

    `click_source`: the source that the id of a click names. `is_paid_click`: only paid links carry such an id.
    """

    host: str = ""
    path: str = ""
    campaign: dict[str, str] = {}
    click_source: str = ""
    is_paid_click: bool = False


NO_ADDRESS = PageAddress()


def read_address(url: str) -> PageAddress:
    """Read an absolute address, or a query alone (from its `?` on)."""
    return _read_address(url[:URL_CHARACTERS_MAX]) if url else NO_ADDRESS


@lru_cache(maxsize=URLS_CACHED_MAX)
def _read_address(url: str) -> PageAddress:
    try:
        parts = urlsplit(url)
        fields = parse_qsl(parts.query, max_num_fields=QUERY_FIELDS_MAX) if "=" in parts.query else []
    except ValueError:
        return NO_ADDRESS
    campaign, click = dict[str, str](), ("", False)
    for name, value in fields:
        lower_name, text = name.lower(), value.strip()[:VALUE_CHARACTERS_MAX]
        if text and lower_name in CAMPAIGN_FIELDS:
            campaign.setdefault(CAMPAIGN_FIELDS[lower_name], text)
        elif text and lower_name in CLICK_IDS and (not click[0] or (CLICK_IDS[lower_name][1] and not click[1])):
            click = CLICK_IDS[lower_name]
    return PageAddress(_parse_host(parts.netloc), parts.path, campaign, *click)


def find_host(url: str) -> str:
    """The host of an address, without `www.` and the port; empty if it has none."""
    return read_address(url).host


def _parse_host(netloc: str) -> str:
    host = netloc.rpartition("@")[2].lower()
    if not host.startswith("["):
        host = host.partition(":")[0]
    return host.removeprefix("www.").rstrip(".")[:VALUE_CHARACTERS_MAX]


def find_channel(referrer_host: str, source: str, medium: str, *, is_paid_click: bool = False) -> str:
    """The channel of a visit. The campaign decides before the referrer, since it was chosen by who made the link."""
    medium, source = medium.lower(), source.lower()
    if is_paid_click or medium in _PAID_MEDIA:
        return PAID
    if medium in _EMAIL_MEDIA or source in _EMAIL_MEDIA:
        return EMAIL
    if medium in _SOCIAL_MEDIA:
        return SOCIAL
    if medium in _SEARCH_MEDIA:
        return SEARCH
    channel = _find_channel_of_host(referrer_host) if referrer_host else DIRECT
    if channel in (DIRECT, REFERRAL) and source:
        return _find_channel_of_label(source.partition(".")[0]) or REFERRAL
    return channel


@lru_cache(maxsize=URLS_CACHED_MAX)
def _find_channel_of_host(host: str) -> str:
    if host in _EMAIL_HOSTS or host.startswith(("mail.", "webmail.")):
        return EMAIL
    if host in _SOCIAL_HOSTS:
        return SOCIAL
    if host in _SEARCH_HOSTS:
        return SEARCH
    return _find_channel_of_label(_find_registered_label(host)) or REFERRAL


def _find_channel_of_label(label: str) -> str:
    return SEARCH if label in _SEARCH_LABELS else SOCIAL if label in _SOCIAL_LABELS else ""


def _find_registered_label(host: str) -> str:
    """`google` of www.google.co.uk: the label before the public suffix, by a rule of thumb."""
    labels = host.split(".")
    if len(labels) >= 3 and labels[-2] in _SECOND_LEVEL and len(labels[-1]) == 2:
        return labels[-3]
    return labels[-2] if len(labels) >= 2 else ""
