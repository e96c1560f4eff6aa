"""API keys as text: how one is made, told from a mistyped one, shown, and hashed; and what a key may open.

A key is `rta_<w|r|a>_<43 url-safe random characters><6 characters of checksum>`; the checksum lets scanners
of leaked secrets tell ours from noise. Any other text given by an operator is a key as well. SHA-256 is
enough, since a key is random and not chosen.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zlib

COLLECT, READ, CATALOG_READ, CATALOG_WRITE, ADMIN = "collect", "read", "catalog:read", "catalog:write", "admin"
SCOPES = (COLLECT, READ, CATALOG_READ, CATALOG_WRITE, ADMIN)
SCOPES_BY_KIND = {"write": (COLLECT,), "read": (READ, CATALOG_READ), "admin": SCOPES}
KEY_CHARS_MAX = 256
KEY_FORM = re.compile(r"rta_[wra]_[A-Za-z0-9_-]{43}[A-Za-z0-9]{6}")
CHECKSUM_CHARS = 6
_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase


def make_key(kind: str) -> str:
    """A new key; `kind` is write, read or admin."""
    body = f"rta_{kind[0]}_{secrets.token_urlsafe(32)}"
    return body + checksum(body)


def checksum(body: str) -> str:
    """CRC-32 in six characters of base 62."""
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(CHECKSUM_CHARS):
        number, digit = divmod(number, 62)
        digits = _ALPHABET[digit] + digits
    return digits


def is_mistyped(key: str) -> bool:
    """Whether the key has the form of ours and a wrong checksum: nobody was ever given it."""
    return bool(KEY_FORM.fullmatch(key)) and checksum(key[:-CHECKSUM_CHARS]) != key[-CHECKSUM_CHARS:]


def digest(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="surrogatepass")).digest()


def mask_key(key: str) -> str:
    """What may be shown of a key: how it begins and how it ends."""
    return f"{key[:6]}…{key[-4:]}" if len(key) >= 20 else "…"


def make_id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(12)}"
