"""Server-sent events, as bytes."""

from __future__ import annotations

import json
from json.encoder import encode_basestring
from typing import Any

HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)
DONE = b"data: [DONE]\n\n"


def json_text(text: str) -> bytes:
    """A JSON string in UTF-8. A lone surrogate, which UTF-8 has no bytes for, becomes `?`."""
    return encode_basestring(text).encode("utf-8", "replace")


def json_bytes(value: Any) -> bytes:
    """Any JSON, in the same way."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def keep_alive(note: str) -> bytes:
    """A comment: clients skip it, timers see it. `note` says what is being waited for."""
    words = " ".join(note.split())[:200]
    return f": keep-alive {words}".rstrip().encode("utf-8", "replace") + b"\n\n"
