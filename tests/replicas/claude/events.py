"""The events of a Claude answer (fact sheet section 5), in the order and shape of its sample."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from tests.replicas.scenario import Page


def event(kind: str, **fields: Any) -> bytes:
    """One server-sent event; its data repeats the name."""
    data = json.dumps({"type": kind, **fields}, ensure_ascii=False, separators=(",", ":"))
    return f"event: {kind}\ndata: {data}\n\n".encode()


PING = event("ping")
MESSAGE_STOP = event("message_stop")


def now() -> str:
    """A timestamp as the site writes them."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def message_start(uuid: str, parent: str, model: str) -> bytes:
    """The answer's head."""
    message: dict[str, Any] = {
        "id": f"chatcompl_{secrets.token_hex(12)}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "parent_uuid": parent,
        "uuid": uuid,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "trace_id": secrets.token_hex(16),
        "request_id": f"req_{secrets.token_hex(12)}",
    }
    return event("message_start", message=message)


def message_delta(stop_reason: str) -> bytes:
    """How the answer ended."""
    return event("message_delta", delta={"stop_reason": stop_reason, "stop_sequence": None})


def failure(kind: str, message: str) -> bytes:
    """A failure inside a 200 stream."""
    return event("error", error={"type": kind, "message": message})


def citation(page: Page) -> dict[str, str]:
    """A mark's content; the sheet only guesses it."""
    return {"uuid": str(uuid4()), "title": page.title, "url": page.url}


class Blocks:
    """Makes the blocks of one answer, and keeps them as its history will tell them."""

    def __init__(self) -> None:
        self.content: list[dict[str, Any]] = []
        self._open = ""

    def _begin(self, kind: str, **fields: Any) -> bytes:
        closed = self.close()
        block = {"start_timestamp": now(), "type": kind, **fields}
        self.content.append(block)
        self._open = kind
        return closed + event("content_block_start", index=len(self.content) - 1, content_block=block)

    def _delta(self, kind: str, **fields: Any) -> bytes:
        return event("content_block_delta", index=len(self.content) - 1, delta={"type": kind, **fields})

    def close(self) -> bytes:
        """End the open block, if there is one."""
        if not self._open:
            return b""
        signature = self._delta("signature_delta", signature=secrets.token_hex(16)) if self._open == "thinking" else b""
        self._open = ""
        stopped = now()
        self.content[-1]["stop_timestamp"] = stopped
        return signature + event("content_block_stop", index=len(self.content) - 1, stop_timestamp=stopped)

    def reasoning(self, text: str) -> bytes:
        """Reasoning; a headline follows its first words."""
        if self._open == "thinking":
            self.content[-1]["thinking"] += text
            return self._delta("thinking_delta", thinking=text)
        head = self._begin("thinking", thinking="")
        self.content[-1]["thinking"] = text
        summary = {"summary": "Weighing the question"}
        return (
            head + self._delta("thinking_delta", thinking=text) + self._delta("thinking_summary_delta", summary=summary)
        )

    def text(self, text: str) -> bytes:
        """Text of the answer."""
        head = self._text()
        self.content[-1]["text"] += text
        return head + self._delta("text_delta", text=text)

    def _text(self) -> bytes:
        return b"" if self._open == "text" else self._begin("text", text="", citations=[])

    def cite(self, mark: dict[str, str]) -> bytes:
        """From here on the text rests on a page."""
        head = self._text()
        self.content[-1]["citations"].append({**mark, "start_index": len(self.content[-1]["text"])})
        return head + self._delta("citation_start_delta", citation=mark)

    def cited(self, mark: dict[str, str]) -> bytes:
        """Up to here."""
        [kept] = [each for each in self.content[-1]["citations"] if each["uuid"] == mark["uuid"]]
        kept["end_index"] = len(self.content[-1]["text"])
        return self._delta("citation_end_delta", citation=mark)

    def tool(self, name: str, arguments: dict[str, Any], message: str, results: list[dict[str, Any]]) -> bytes:
        """A tool that the site runs itself: its input in parts, its progress, its result."""
        use = f"toolu_{secrets.token_hex(12)}"
        written = self._begin("tool_use", id=use, name=name, input={}, message=None)
        self.content[-1]["input"] = arguments
        arguments_json = json.dumps(arguments, ensure_ascii=False)
        for at in range(0, len(arguments_json), 48):
            written += self._delta("input_json_delta", partial_json=arguments_json[at : at + 48])
        written += self._delta("tool_use_block_update_delta", message=message)
        self.content[-1]["message"] = message
        written += self._begin("tool_result", tool_use_id=use, name=name, content=results, is_error=False)
        return written + self.close()

    def search(self, query: str, pages: list[Page]) -> bytes:
        """A search of the web and what it found."""
        found = [
            {"type": "knowledge", "title": p.title, "url": p.url, "text": p.snippet, "metadata": {}} for p in pages
        ]
        return self.tool("web_search", {"query": query}, "Searching the web", found)

    def artifact(self, text: str) -> bytes:
        """A document beside the answer, written through a tool."""
        made = {"command": "create", "id": "made", "type": "text/markdown", "title": "Made", "content": text}
        return self.tool("artifacts", made, "Writing", [{"type": "text", "text": "OK"}])
