"""Origins of web pages and apps, as a project lists them and as browsers send them.

An entry is scheme://host[:port], https://*.example.com (all subdomains at any depth, but not example.com itself), or
the text `null`, which pages from files and sandboxed frames send. Apps in web views have schemes of their own, such as
capacitor://localhost.
"""

from __future__ import annotations

ORIGIN_CHARS_MAX = 300
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])"
ORIGIN_PATTERN = (
    rf"^(?:null|https://\*\.{_HOST}(?::[0-9]{{1,5}})?|[A-Za-z][A-Za-z0-9+.-]*://{_HOST}(?::[0-9]{{1,5}})?)$"
)
_DEFAULT_PORTS = (("https://", ":443"), ("http://", ":80"))


def allows(entry: str, origin: str) -> bool:
    """Whether the entry allows a request with this `Origin`. Case is ignored."""
    entry, origin = _normalise(entry), _normalise(origin)
    if not entry.startswith("https://*."):
        return entry == origin
    host = entry.removeprefix("https://*")
    return origin.startswith("https://") and origin.endswith(host) and len(origin) > len("https://") + len(host)


def _normalise(origin: str) -> str:
    """The origin in lower case, without the default port of its scheme: browsers leave that out."""
    origin = origin.lower()
    for scheme, port in _DEFAULT_PORTS:
        if origin.startswith(scheme):
            return origin.removesuffix(port)
    return origin
