"""The small calls that chat UIs make beside a person's message (titles, tags, follow-ups…), told by their prompts.

Each costs an account as much as a message. They are told by the UI's own words in their own place: how the prompt
begins, the JSON field that it asks for and how it ends must all be right, and nothing may stand around it. A person
who writes about such a prompt, or quotes it, is not taken for one. The prompts are those of Open WebUI (`config.py`),
LobeChat (`chains/summaryTitle.ts`), NextChat (`locales/en.ts`, `cn.ts`) and LibreChat (`agents/src/utils/title.ts`).
One that somebody has changed in his UI is an ordinary chat.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from relay.chat.request import Message

Kind = Literal["title", "tags", "follow-ups", "search queries", "completion"]

_TASK = "### Task:\n"
_HISTORY, _HISTORY_END = "<chat_history>", "</chat_history>"


class _Task(NamedTuple):
    """One of Open WebUI's prompts."""

    kind: Kind
    field: str
    """Of the JSON object that it asks for."""
    begins: str
    """After `### Task:`."""
    ends: str = _HISTORY_END


_OPEN_WEBUI = (
    _Task("title", "title", "Generate a concise title summarizing the chat history.\n"),
    _Task(  # before 0.12
        "title",
        "title",
        "Generate a concise, 3-5 word title with an emoji summarizing the chat history.\n",
    ),
    _Task(
        "tags",
        "tags",
        "Generate 1-3 broad tags categorizing the main themes of the chat history, along with 1-3 more specific "
        "subtopic tags.\n",
    ),
    _Task(
        "follow-ups",
        "follow_ups",
        "Predict 3-5 useful messages this user might naturally send next to advance their current objective.\n",
    ),
    _Task(  # before 0.12
        "follow-ups",
        "follow_ups",
        "Suggest 3-5 relevant follow-up questions or prompts that the user might naturally ask next in this "
        "conversation as a **user**, based on the chat history, to help continue or deepen the discussion.\n",
    ),
    _Task(
        "search queries",
        "queries",
        "Analyze the chat history to determine the necessity of generating search queries, in the given language. By "
        "default, **prioritize generating 1-3 broad and relevant search queries** unless ",
    ),
    _Task(
        "completion",
        "text",
        "You are an autocompletion system. Continue the text in `<text>` based on the **completion type** in `<type>` "
        "and the given language.",
        "#### Output:",
    ),
)
_OPEN_WEBUI_2024 = (
    "Create a concise, 3-5 word title with an emoji as a title for the chat history, in the given language. Suitable "
    "Emojis for the summary can be used to enhance understanding but avoid quotation marks or special formatting. "
    "RESPOND ONLY WITH THE TITLE TEXT.\n"
)
_NEXTCHAT = (
    "Please generate a four to five word title summarizing our conversation without any lead-in, punctuation, "
    "quotation marks, periods, symbols, bold text, or additional text. Remove enclosing quotation marks.",
    "Please generate a four to five word title summarizing our conversation without any lead-in, punctuation, "
    "quotation marks, periods, symbols, or additional text. Remove enclosing quotation marks.",
    "使用四到五个字直接返回这句话的简要主题，不要解释、不要标点、不要语气词、不要多余文本，不要加粗，"
    "如果没有主题，请直接返回“闲聊”",
)
_LOBECHAT = (
    "You are a professional conversation summarizer. Generate a concise title that captures the essence of the "
    "conversation.\n\nRules:\n"
)
_LOBECHAT_JSON = '- Return one JSON object with a single "title" string'
_LOBECHAT_END = "\n- Keep it short and to the point"
_LIBRECHAT = (
    "Provide a concise, 5-word-or-less title for the conversation, using title case conventions. Only return the title "
    "itself.\n\nConversation:\n"
)

NO_TITLE = "New chat"
_TITLE_WORDS = 6
_TITLE_CHARS = 40
_MARKS = re.compile(r"[#*_`>\"“”<>|\[\]]+")
_SPEAKER = re.compile(r"^(?:USER: |user: |User: |<user>\n)", re.MULTILINE)
_NEXT_SPEAKER = re.compile(r"^(?:ASSISTANT: |assistant: |AI: |</user>|</chat_history>)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class SideCall:
    """What a UI asks beside the chat, and what can be answered to it without any model."""

    kind: Kind
    answer: str
    """In the form that the prompt asks for: a title of the person's own words, else nothing (empty lists and texts)."""


def side_call(messages: Sequence[Message]) -> SideCall | None:
    """The side call that a request is; None for a chat."""
    if not messages or any(message.attachments or message.calls for message in messages):
        return None
    *before, last = messages
    if last.role != "user":
        return None
    if last.text in _NEXTCHAT:
        asked = next((message.text for message in before if message.role == "user"), None)
        return None if asked is None else SideCall("title", title_of(asked))
    if not before:
        return _open_webui(last.text) or _librechat(last.text)
    return _lobechat(before[0].text, last.text) if len(before) == 1 and before[0].role == "system" else None


def title_of(text: str) -> str:
    """The first words of what a person asked, at most 40 characters; `New chat` where there are none."""
    line = next((found for line in text.splitlines() if (found := _MARKS.sub(" ", line).strip())), "")
    title = ""
    for word in line.split()[:_TITLE_WORDS]:
        longer = f"{title} {word}".strip()
        if len(longer) > _TITLE_CHARS:
            break
        title = longer
    return (title or line[:_TITLE_CHARS]).rstrip(".,;:!?…。，；：！？ ") or NO_TITLE


def _open_webui(text: str) -> SideCall | None:
    head, tag, history = text.partition(_HISTORY)
    if not tag:
        return None
    if head.startswith(_OPEN_WEBUI_2024) and text.rstrip().endswith(_HISTORY_END):
        return SideCall("title", title_of(_asked(history)))
    if not head.startswith(_TASK):
        return None
    for task in _OPEN_WEBUI:
        right = head.startswith(task.begins, len(_TASK)) and f'"{task.field}"' in head
        if right and text.rstrip().endswith(task.ends):
            value: Any = {"title": title_of(_asked(history)), "completion": ""}.get(task.kind, [])
            return SideCall(task.kind, json.dumps({task.field: value}, ensure_ascii=False))
    return None


def _lobechat(system: str, user: str) -> SideCall | None:
    if not (system.startswith(_LOBECHAT) and system.rstrip().endswith(_LOBECHAT_END)):
        return None
    title = title_of(_asked(user))
    is_json = _LOBECHAT_JSON in system
    return SideCall("title", json.dumps({"title": title}, ensure_ascii=False) if is_json else title)


def _librechat(text: str) -> SideCall | None:
    return SideCall("title", title_of(_asked(text[len(_LIBRECHAT) :]))) if text.startswith(_LIBRECHAT) else None


def _asked(history: str) -> str:
    """The person's first message in a history that was written down as text."""
    begins = _SPEAKER.search(history)
    if begins is None:
        return ""
    ends = _NEXT_SPEAKER.search(history, begins.end())
    return history[begins.end() : ends.start() if ends else len(history)]
