"""Native continuation, the pure part: a history's name, and what of a request is new to the site.

A history's key is a chain: each message is hashed onto the key of what came before it. So the key of a longer history
follows from the shorter one's (`extend`), and all prefixes cost one pass.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterable, Sequence

from relay.chat.request import ChatRequest, Message

EMPTY = ""
"""The key of no history."""

_REASONING = re.compile(
    r"\A(?:\s*(?:<(think|thinking|reasoning)>.*?</\1>|<details type=\"reasoning\"[^>]*>.*?</details>))+", re.DOTALL
)
"""Reasoning that a client wrote before the answer it sends back; others leave it out."""


def normal(message: Message) -> str:
    """The message's text without what clients change in sending it back: line ends, outer spaces, reasoning."""
    text = message.text.replace("\r\n", "\n")
    if message.role == "assistant":
        text = _REASONING.sub("", text, count=1)
    return text.strip()


def base(request: ChatRequest) -> str:
    """The key that histories of a request begin with: `EMPTY`, or a name for the tools that the site is told of."""
    use = request.tools
    if use is None or use.choice == "none" or not use.tools:
        return EMPTY
    told = [[tool.name, tool.description, tool.parameters] for tool in use.tools]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()


def extend(key: str, messages: Iterable[Message]) -> str:
    """The key (64 hex digits) of the history `key` with `messages` after it. O(length of the messages)."""
    for message in messages:
        key = _link(key, message)
    return key


def _link(key: str, message: Message) -> str:
    digest = hashlib.sha256(key.encode())
    # An answer is recorded without a name; what a client calls the assistant afterwards says nothing.
    name = "" if message.role == "assistant" else message.name
    parts = [part.encode("utf-8", "surrogatepass") for part in (message.role, name, normal(message))]
    parts += [attachment.digest for attachment in message.attachments]
    for call in message.calls:
        parts += [call.name.encode("utf-8", "surrogatepass"), _canonical(call.arguments)]
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))  # lengths keep ("ab", "c") and ("a", "bc") apart
        digest.update(part)
    return digest.hexdigest()


def _canonical(arguments: str) -> bytes:
    """A call's arguments, however a client wrote them."""
    with contextlib.suppress(ValueError):
        arguments = json.dumps(json.loads(arguments), sort_keys=True)
    return arguments.encode("utf-8", "surrogatepass")


def digest_files(messages: Iterable[Message]) -> None:
    """Hash every file now, so that the keys cost no more than their text. Meant for a thread: hashing frees Python."""
    for message in messages:
        for attachment in message.attachments:
            _ = attachment.digest


def history_key(messages: Iterable[Message], base: str = EMPTY) -> str:
    """The key of a whole history: equal for equal histories (see `normal`), different for all others."""
    return extend(base, messages)


def history_keys(messages: Iterable[Message]) -> list[str]:
    """The key of every prefix, shortest first, the whole history's last. One pass."""
    keys: list[str] = []
    for message in messages:
        keys.append(_link(keys[-1] if keys else EMPTY, message))
    return keys


def answered(messages: Sequence[Message], answer_text: str) -> str:
    """The key of the history that a client sends back once it was answered so."""
    return extend(EMPTY, (*messages, Message("assistant", answer_text)))


def after_answer(messages: Sequence[Message]) -> int:
    """Where the messages after the last answer begin; 0 where there is no answer yet."""
    for index in range(len(messages), 0, -1):
        if messages[index - 1].role == "assistant":
            return index
    return 0


def split(messages: Sequence[Message], upto: int | None = None) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
    """What the site has said or heard already, and what is new: cut at `upto`, else after the last answer.

    Only a cut after the last answer leaves nothing but messages that a continued turn can carry (user, tool, system).
    """
    cut = after_answer(messages) if upto is None else upto
    return tuple(messages[:cut]), tuple(messages[cut:])
