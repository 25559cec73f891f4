"""Messages -> one prompt, for sites that take a single text per turn. Plain words, no tags, nothing trimmed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from relay.chat import tool_prompt
from relay.chat.request import Attachment, ChatRequest, Message

LABELS = {"user": "User", "assistant": "Assistant", "tool": "Tool result"}


def flatten(messages: Sequence[Message], *, labelled: bool = False) -> str:
    """One text of a whole history. A single user message arrives exactly as it was written, unless `labelled`."""
    system = [message.text for message in messages if message.role == "system" and message.text]
    turns = [message for message in messages if message.role != "system"]
    if len(turns) == 1 and turns[0].role == "user" and not labelled:
        return "\n\n".join([*system, turns[0].text])
    said = [f"{LABELS[turn.role]}{f' ({turn.name})' if turn.name else ''}: {turn.text}" for turn in turns]
    return "\n\n".join([*system, *said])


def prompt_of(request: ChatRequest, messages: Sequence[Message], *, told: bool = False) -> str:
    """`messages` of the request as one text; around it what it wants of tools and of the answer's form.

    `told`: the site was told the same tools in this conversation before. Without tools and form nothing is added.
    """
    use, form = request.tools, request.form
    if use is None and form is None:
        return flatten(messages)
    chinese = tool_prompt.is_chinese("".join(message.text for message in messages if message.role == "user"))
    parts = [message.text for message in messages if message.role == "system" and message.text]
    if use is not None and use.tools and use.choice != "none":
        told_now = tool_prompt.reminder if told else tool_prompt.instructions
        parts.append(told_now(use, chinese=chinese))
    turns = [message for message in messages if message.role != "system"]
    written = [_written(message, use.nonce) for message in turns] if use is not None else turns
    parts.append(flatten(written, labelled=bool(parts)))
    if form is not None:
        parts.append(tool_prompt.form_instructions(form, chinese=chinese))
    return "\n\n".join(parts)


def _written(message: Message, nonce: str) -> Message:
    """The message with its calls, or its place as a call's result, in its text; a fence begins a line of its own."""
    if message.calls:
        text = tool_prompt.rendered(message, nonce)
    elif message.role == "tool":
        text = tool_prompt.result(message, nonce)
    else:
        return message
    return replace(message, text=f"\n{text}" if text.startswith("`") else text, calls=())


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
