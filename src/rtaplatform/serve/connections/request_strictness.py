"""Refuse requests that the HTTP server accepts, but that a proxy in front may read differently."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rtaplatform.core.errors import MalformedRequest

_HOST = re.compile(rb"[A-Za-z0-9._~%!$&'()*+,;=:\[\]-]+")
_HOST_HINT = "Send the host of the address that you call, with its port if that has one: `Host: rta.example.com:8000`."
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def check_headers(headers: Iterable[tuple[bytes, bytes]], http_version: str) -> None:
    """Require one Host header and an unambiguous body length. Raises MalformedRequest."""
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) > 1 or (not hosts and http_version != "1.0"):
        raise MalformedRequest(
            f"A request has one `Host` header; this one has {len(hosts) or 'none'}.", field="Host", hint=_HOST_HINT
        )
    if hosts and not _HOST.fullmatch(hosts[0]):
        problem = f"is {hosts[0][:100].decode('latin-1')!r}, which names no host" if hosts[0] else "is empty"
        raise MalformedRequest(f"`Host` {problem}.", field="Host", hint=_HOST_HINT)
    codings = [value.strip().lower() for name, value in headers if name == b"transfer-encoding"]
    if codings and codings != [b"chunked"]:
        raise MalformedRequest("`Transfer-Encoding` is `chunked`, once, or absent.", field="Transfer-Encoding")
    if codings and any(name == b"content-length" for name, _ in headers):
        raise MalformedRequest("A body has a `Content-Length` or a `Transfer-Encoding`.", field="Content-Length")


def decode_path(raw_path: bytes, path: str) -> str:
    """Return the path for the router. Only needless escapes are decoded, so that `a%2Fb` stays one segment.

    The route decodes ids, once. Doubled slashes stay too: no route has them.
    """
    raw = raw_path.partition(b"?")[0].decode("latin-1")
    if "%" not in raw:
        return path
    return _ESCAPE.sub(_unescape, raw)


def has_empty_segment(path: str) -> bool:
    return "//" in path


def _unescape(escape: re.Match[str]) -> str:
    character = chr(int(escape[1], 16))
    return character if character in _UNRESERVED else escape[0].upper()
