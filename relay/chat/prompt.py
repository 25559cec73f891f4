"""Messages -> one prompt, for sites that take a single text per turn. Plain words, no tags, nothing trimmed."""

from __future__ import annotations

from collections.abc import Sequence

from relay.chat.request import Attachment, Message

LABELS = {"user": "User", "assistant": "Assistant", "tool": "Tool result"}


def flatten(messages: Sequence[Message]) -> str:
    """One text of a whole history. A single user message arrives exactly as it was written."""
    system = [message.text for message in messages if message.role == "system" and message.text]
    turns = [message for message in messages if message.role != "system"]
    if len(turns) == 1 and turns[0].role == "user":
        return "\n\n".join([*system, turns[0].text])
    said = [f"{LABELS[turn.role]}{f' ({turn.name})' if turn.name else ''}: {turn.text}" for turn in turns]
    return "\n\n".join([*system, *said])


def attachments(messages: Sequence[Message]) -> tuple[Attachment, ...]:
    """Every file of the history, each once, in order."""
    seen: dict[bytes, Attachment] = {}
    for message in messages:
        for attachment in message.attachments:
            seen.setdefault(attachment.digest, attachment)
    return tuple(seen.values())


PROMPT_FILE = "prompt.txt"


def as_file(prompt: str, messages: Sequence[Message], max_chars: int) -> tuple[str, Attachment]:
    """A prompt that is too long for the site's box: as a text file, and what to say with it.

    The last message is repeated in the box where it fits: it is what has to be answered.
    """
    file = Attachment(PROMPT_FILE, "text/plain", prompt.encode("utf-8", "replace"))
    short = f"The attached file {PROMPT_FILE} holds the whole prompt. Read all of it, and answer it."
    last = messages[-1].text if messages else ""
    full = f"{short} Its last message is:\n\n{last}"
    return (full if last and len(full) <= max_chars else short), file
