"""WebSocket frames as clients send them.   Pure."""

from __future__ import annotations

import struct

_TEXT, _MASKED = 0x81, 0x80


def mask_frame(text: bytes) -> bytes:
    """A text message of at most 65,535 bytes. The mask is zero: the benchmark has nothing to hide from proxies."""
    size = len(text)
    head = struct.pack(">BB", _TEXT, _MASKED | size) if size < 126 else struct.pack(">BBH", _TEXT, _MASKED | 126, size)
    return head + bytes(4) + text
