"""API keys as text: how a key is made, checked, masked and hashed; and the scopes.

A key is `rta_<w|r|a>_<43 url-safe random characters><6 characters of checksum>`. By the checksum, scanners for leaked
secrets tell our keys from noise. An operator may set any other text as a key. SHA-256 is enough, because a key is
random and not chosen by a person.
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
    return body + compute_checksum(body)


def compute_checksum(body: str) -> str:
    """CRC-32 in six characters of base 62."""
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(CHECKSUM_CHARS):
        number, digit = divmod(number, 62)
        digits = _ALPHABET[digit] + digits
    return digits


def is_mistyped(key: str) -> bool:
    """Whether the key has our form but a wrong checksum. Such a key was never issued."""
    return bool(KEY_FORM.fullmatch(key)) and compute_checksum(key[:-CHECKSUM_CHARS]) != key[-CHECKSUM_CHARS:]


def hash_key(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="surrogatepass")).digest()


def mask_key(key: str) -> str:
    """The beginning and the end of a key: the part that may be shown."""
    return f"{key[:6]}…{key[-4:]}" if len(key) >= 20 else "…"


def make_id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(12)}"
