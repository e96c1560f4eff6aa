"""Addresses of servers, as operators write them: how they are read, and how secrets in them are masked.   Pure.

A URL with a password is a secret. No message quotes a part of one, because in a malformed URL any part may be the
password. `mask_urls` is the only place that makes a text with URLs fit to be shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

PORT_MAX = 65_535
SECRET_CHARACTERS_MIN = 4  # a shorter one would mask unrelated words
MASK = "***"
ENCODE = (
    "Write special characters of the user name and of the password percent-encoded: "
    "# as %23, / as %2F, ? as %3F, @ as %40, [ as %5B, ] as %5D, % as %25, a blank as %20."
)
_WORD = r"(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})"
_LOGIN = rf"(?:(?P<user>{_WORD}*)(?::(?P<password>(?:{_WORD}|:)*))?@)?"
_HOST = r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])"
_PORT = r"(?::(?P<port>[0-9]{1,5}))?"
_OPTIONS = rf"(?:\?(?:{_WORD}|[:@/?])*)?"
_REDIS = re.compile(rf"rediss?://{_LOGIN}{_HOST}{_PORT}(?:/[0-9]*)?{_OPTIONS}")
_REDIS_SOCKET = re.compile(rf"unix://{_LOGIN}/(?:{_WORD}|[:@/])+{_OPTIONS}")
_POSTGRES = re.compile(rf"(?:postgresql|postgres)://{_LOGIN}(?:{_HOST}{_PORT})?(?:/(?:{_WORD}|[:@])*)?{_OPTIONS}")
_BROKER = re.compile(rf"(?:(?:PLAINTEXT|SSL|SASL_PLAINTEXT|SASL_SSL)://)?{_HOST}{_PORT}")
_SECRET_OPTION = re.compile(r"([?&][a-z_]*password=)[^&\s\"']*", re.IGNORECASE)
_LOGIN_IN_TEXT = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30}://)[^\s\"]{0,2000}@")


class ServerEndpoint(NamedTuple):
    """Where a server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class WrongAddress(ValueError):
    """An address that cannot be used. `problem` and `remedy` contain no part of it that may be secret."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.problem, self.remedy = problem, remedy


def read_redis_url(url: str) -> ServerEndpoint | None:
    """The server's endpoint; None for a socket file. Raises WrongAddress."""
    if _REDIS_SOCKET.fullmatch(url):
        return None
    return _read_url(url, _REDIS, 6379, "a Redis URL", "redis://USER:PASSWORD@HOST:6379/0 (or rediss:// for TLS)")


def read_postgres_url(url: str) -> ServerEndpoint | None:
    """The server's endpoint; None for a socket file. Raises WrongAddress."""
    return _read_url(url, _POSTGRES, 5432, "a PostgreSQL URL", "postgresql://USER:PASSWORD@HOST:5432/DATABASE")


def read_kafka_servers(text: str) -> list[ServerEndpoint]:
    """Every HOST:PORT of the list. Raises WrongAddress; such a list contains no secrets."""
    endpoints = []
    for part in map(str.strip, text.split(",")):
        match = _BROKER.fullmatch(part)
        if match is None or not match["port"] or not _is_port(match["port"]):
            raise WrongAddress(
                f"has {mask_urls(part)!r}, which is not HOST:PORT", "Write it as broker:9092, several by commas."
            )
        endpoints.append(_make_endpoint(match, 0))
    return endpoints


def mask_urls(text: str) -> str:
    """The text without the user names and passwords of URLs in it, even of malformed ones."""
    if "://" in text and "@" in text:
        text = _LOGIN_IN_TEXT.sub(rf"\1{MASK}@", text)
    return _SECRET_OPTION.sub(rf"\1{MASK}", text) if "password=" in text.lower() else text


def mask_values(text: str, secrets: Iterable[str]) -> str:
    """The text with each of these values masked, the longest first; very short values are not masked."""
    for secret in sorted(filter(lambda secret: len(secret) >= SECRET_CHARACTERS_MIN, secrets), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


def list_passwords(url: str) -> list[str]:
    """What may be the password of a URL, even of a malformed one: as written, and decoded."""
    login = url.partition("://")[2].rpartition("@")[0]
    password = login.partition(":")[2]
    decoded_password = re.sub(rb"%([0-9A-Fa-f]{2})", lambda match: bytes.fromhex(match[1].decode()), password.encode())
    return [password, decoded_password.decode(errors="replace")]


def _read_url(url: str, form: re.Pattern[str], port: int, kind: str, example: str) -> ServerEndpoint | None:
    match = form.fullmatch(url)
    if match is None:
        is_of_kind = re.match(form.pattern.partition("://")[0] + "://", url) is not None
        remedy = ENCODE if is_of_kind and "@" in url else f"Write it as {example}."
        raise WrongAddress(f"is not {kind}", remedy)
    if match["port"] and not _is_port(match["port"]):
        raise WrongAddress(f"is not {kind}: its port is not one from 1 to {PORT_MAX}", f"Write it as {example}.")
    return _make_endpoint(match, port) if match["host"] else None


def _make_endpoint(match: re.Match[str], port: int) -> ServerEndpoint:
    return ServerEndpoint(match["host"].strip("[]"), int(match["port"] or port))


def _is_port(digits: str) -> bool:
    return 1 <= int(digits) <= PORT_MAX
