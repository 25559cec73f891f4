"""DeepSeek's answer streams as bytes, and what is read out of them (fact sheet section 5)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from relay.browser.answer import Answer
from relay.chat.events import Event, Finished, Progress, Reasoning, Retracted, Source, Sources, Text
from relay.sites.deepseek.stream import DeepSeekReader

READY = ("ready", {"request_message_id": 3, "response_message_id": 4, "model_type": "default"})
FRAGMENT: dict[str, Any] = {"elapsed_secs": None, "references": [], "stage_id": 1}
PAGE = {"url": "https://tea.example/a", "title": "Tea", "snippet": "…", "site_name": "tea.example", "cite_index": 1}
SAMPLE: list[Any] = [
    READY,
    ("update_session", {"updated_at": 1790000001.25}),
    {"v": {"response": {
        "message_id": 4, "parent_id": 3, "model": "", "role": "ASSISTANT", "thinking_enabled": True, "ban_edit": False,
        "ban_regenerate": False, "status": "WIP", "incomplete_message": None, "accumulated_token_usage": 0,
        "feedback": None, "inserted_at": 1790000001.2, "search_enabled": True,
        "fragments": [{"id": 2, "type": "THINK", "content": "The", **FRAGMENT}],
        "conversation_mode": "DEFAULT", "has_pending_fragment": False, "auto_continue": False}}},
    {"p": "response/fragments/-1/content", "o": "APPEND", "v": " user"},
    {"v": " asks about tea."},
    {"p": "response/fragments/-1/elapsed_secs", "o": "SET", "v": 1.9},
    {"p": "response", "o": "BATCH", "v": [{"p": "fragments", "o": "APPEND", "v": [
        {"id": 3, "type": "TOOL_SEARCH", "status": "WIP", "content": None, "queries": [{"query": "green tea"}],
         "results": [], "stage_id": 1}]}]},
    {"p": "response/fragments/-1/results", "o": "SET", "v": [{**PAGE, "query_indexes": [0]}]},
    {"p": "response/fragments/-1", "o": "BATCH", "v": [
        {"p": "status", "v": "FINISHED"}, {"p": "content", "v": "搜索到 1 个网页"}]},
    {"p": "response/fragments", "o": "APPEND", "v": [
        {"id": 4, "type": "RESPONSE", "content": "Green", "references": [], "stage_id": 2}]},
    {"p": "response/fragments/-1/content", "o": "APPEND", "v": " tea"},
    {"v": " is mild"},
    {"p": "response/fragments/-1", "o": "BATCH", "v": [
        {"p": "content", "o": "APPEND", "v": "[reference:0]"},
        {"p": "references", "v": [{"id": 3, "type": "TOOL_SEARCH"}]}]},
    {"v": "."},
    {"p": "response/fragments", "o": "APPEND", "v": [
        {"id": 5, "type": "TIP", "content": "本回答由 AI 生成，内容仅供参考，请仔细甄别。", "style": "WARNING",
         "hide_on_wip": True}]},
    {"p": "response", "o": "BATCH", "v": [
        {"p": "accumulated_token_usage", "v": 96}, {"p": "quasi_status", "v": "FINISHED"}]},
    {"p": "response/status", "o": "SET", "v": "FINISHED"},
    ("finish", {}),
    ("title", {"content": "About tea"}),
    ("close", {"click_behavior": "none", "auto_resume": False}),
]  # fmt: skip
"""The sheet's own sample."""
TEXT = "Green tea is mild[1](https://tea.example/a)."
REASONING = "The user asks about tea."
SOURCE = Source("https://tea.example/a", "Tea", "…", 1)


def snapshot(*fragments: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """The stream's first patch."""
    return {"v": {"response": {"message_id": 4, "status": "WIP", "fragments": list(fragments), **fields}}}


def said(text: str, kind: str = "RESPONSE", **fields: Any) -> dict[str, Any]:
    """A fragment."""
    return {"id": 9, "type": kind, "content": text, **fields}


def more(text: str) -> dict[str, Any]:
    """A patch that lets the current fragment grow."""
    return {"p": "response/fragments/-1/content", "o": "APPEND", "v": text}


def status(value: str) -> dict[str, Any]:
    """The end mark, or another."""
    return {"p": "response/status", "o": "SET", "v": value}


END = status("FINISHED")


def stream(frames: Iterable[Any]) -> bytes:
    """Frames as the site sends them: patches, pairs of event and data, and strings as they are."""
    out = []
    for frame in frames:
        match frame:
            case str():
                out.append(frame)
            case (str(name), data):
                out.append(f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n")
            case _:
                out.append(f"data: {json.dumps(frame, ensure_ascii=True)}\n\n")
    return "".join(out).encode()


def answer_of(chunks: Iterable[bytes]) -> Answer:
    """A whole answer of the site."""
    answer = Answer(200, {"content-type": "text/event-stream"}, "https://chat.deepseek.com/")
    for chunk in chunks:
        answer.push(chunk)
    answer.finish()
    return answer


async def read(chunks: Iterable[bytes], reader: DeepSeekReader | None = None) -> list[Event]:
    """Events of an answer up to its end; Progress is left out. Raises what ends it badly."""
    events: list[Event] = []
    async for event in (reader or DeepSeekReader("s-1")).read(answer_of(chunks)):
        if not isinstance(event, Progress):
            events.append(event)
        if isinstance(event, Finished | Retracted):
            break
    return events


def text(events: Iterable[Event]) -> str:
    """The answer."""
    return "".join(event.text for event in events if isinstance(event, Text))


def reasoning(events: Iterable[Event]) -> str:
    """The reasoning."""
    return "".join(event.text for event in events if isinstance(event, Reasoning))


def sources(events: Iterable[Event]) -> list[Source]:
    """The pages, as they were told."""
    return [source for event in events if isinstance(event, Sources) for source in event.items]
