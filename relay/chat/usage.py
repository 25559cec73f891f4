"""Token counts where the site tells none: a stated estimate, UTF-8 bytes / 4.

Against o200k that is 2 to 3 % low for English and Chinese, 20 % high for code; it costs nothing per chunk.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from relay.chat.request import Message

BYTES_PER_TOKEN = 4


def utf8_bytes(text: str) -> int:
    """The length of `text` in UTF-8, without encoding it where it is ASCII."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def tokens(size_bytes: int) -> int:
    """Estimated tokens of that many bytes, rounded up."""
    return -(-size_bytes // BYTES_PER_TOKEN)


def prompt_tokens(messages: Iterable[Message]) -> int:
    """Estimated tokens of the messages' text; attachments are not counted."""
    return tokens(sum(utf8_bytes(message.text) for message in messages))


@dataclass(frozen=True, slots=True)
class Usage:
    """Estimated counts of one answer; `completion` includes `reasoning`, as OpenAI counts."""

    prompt: int
    completion: int
    reasoning: int = 0

    @property
    def total(self) -> int:
        """Prompt and completion."""
        return self.prompt + self.completion
