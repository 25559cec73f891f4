"""The frames of a DeepSeek answer (fact sheet section 5), in the order and shape of its sample."""

from __future__ import annotations

import json
import time
from typing import Any, Literal, Protocol

from tests.replicas.deepseek.sessions import Message, Session
from tests.replicas.scenario import Page

KEEP_ALIVE = b": keep-alive\n\n"
TIP = "本回答由 AI 生成，内容仅供参考，请仔细甄别。"
CONTENT = "response/fragments/-1/content"

Ending = Literal["FINISHED", "INCOMPLETE", "CONTEXT_LENGTH_EXCEEDED", "FAILED"]


def sse(data: object, event: str = "") -> bytes:
    """One event; without a name it is a ``message``."""
    head = f"event: {event}\n" if event else ""
    return f"{head}data: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()


def ready(message: Message, session: Session) -> bytes:
    """The ids of the turn, and the session's first sign of life."""
    ids = {
        "request_message_id": message.parent_id,
        "response_message_id": message.id,
        "model_type": session.model_type,
    }
    return sse(ids, "ready") + heartbeat()


def heartbeat() -> bytes:
    """The session lives."""
    return sse({"updated_at": round(time.time(), 3)}, "update_session")


def found(pages: list[Page], before: int, query: int = 0) -> list[dict[str, Any]]:
    """Search results as the site lists them; ``before`` pages have been found earlier in the answer."""
    return [
        {
            "url": page.url,
            "title": page.title,
            "snippet": page.snippet,
            "site_name": page.url.partition("://")[2].partition("/")[0],
            "cite_index": before + index,
            "query_indexes": [query],
        }
        for index, page in enumerate(pages, 1)
    ]


class Writing(Protocol):
    """Writes one answer: changes its message, returns the bytes that tell so."""

    def text(self, text: str) -> bytes:
        """More of the answer."""

    def reasoning(self, text: str) -> bytes:
        """More of the thoughts before it."""

    def search(self, query: str, pages: list[Page]) -> bytes:
        """A search, from its query to its last result."""

    def cite(self, page: int) -> bytes:
        """A citation mark of the page with this number, from 1."""

    def refuse(self, text: str) -> bytes:
        """Takes back what was shown and shows ``text`` instead."""

    def end(self, status: Ending, title: str = "") -> bytes:
        """How it ended, and the end of the stream."""


class Patches:
    """The stream of 2026: fragments, and patches to them.

    ``nested``: every fragment begins inside a BATCH (the sample: only the tools' do). ``bare``: what the sheet notes of
    other captures of that year: no ``o`` where a fragment begins, THINKING and SEARCH, ``[citation:i]``, no ``finish``.
    """

    def __init__(self, message: Message, *, nested: bool = False, bare: bool = False) -> None:
        self._message = message
        self._nested, self._bare = nested, bare
        self._shown = False
        self._path = ""
        self._thinking_since: float | None = None
        self._page_fragments = [
            {"id": fragment["id"], "type": fragment["type"]}
            for fragment in message.fragments
            for _ in fragment.get("results", [])
        ]
        """For each page found so far, the fragment that found it."""

    def text(self, text: str) -> bytes:
        """A delta of the RESPONSE fragment."""
        return self._delta("RESPONSE", text)

    def reasoning(self, text: str) -> bytes:
        """A delta of the THINK fragment."""
        return self._delta("THINKING" if self._bare else "THINK", text)

    def search(self, query: str, pages: list[Page]) -> bytes:
        """A tool fragment, its growing list of results, its end; then the first page is opened."""
        queries = [{"query": query}]
        out = self._begin(
            "SEARCH" if self._bare else "TOOL_SEARCH", status="WIP", content=None, queries=queries, results=[]
        )
        fragment = self._message.fragments[-1]
        results = found(pages, len(self._page_fragments))
        self._page_fragments += [{"id": fragment["id"], "type": fragment["type"]}] * len(pages)
        for known in sorted({(len(results) + 1) // 2, len(results)} - {0}):
            fragment["results"] = results[:known]
            out += self._patch("response/fragments/-1/results", "SET", results[:known])
        out += self._finished(content=f"搜索到 {len(pages)} 个网页")
        if results:
            out += self._begin("TOOL_OPEN", status="WIP", content=None, result=results[0]) + self._finished()
        return out

    def cite(self, page: int) -> bytes:
        """``[reference:i]``, counted from 0; ``references`` name the fragment of each page. Older: ``[citation:i]``."""
        out = b"" if self._open == "RESPONSE" else self._begin("RESPONSE", content="", references=[])
        fragment = self._message.fragments[-1]
        mark = f"[citation:{page}]" if self._bare else f"[reference:{page - 1}]"
        fragment["content"] += mark
        batch: list[dict[str, Any]] = [{"p": "content", "o": "APPEND", "v": mark}]
        if not self._bare:
            fragment["references"] = list(self._page_fragments)
            batch.append({"p": "references", "v": self._page_fragments})
        out += self._patch("response/fragments/-1", "BATCH", batch)
        self._path = CONTENT  # as in the sample: a bare line after the mark is text again
        return out

    def refuse(self, text: str) -> bytes:
        """CONTENT_FILTER: one BATCH without a path replaces the fragments."""
        template = {"id": self._next_id, "type": "TEMPLATE_RESPONSE", "content": text}
        out = self._snapshot() + self._counted("CONTENT_FILTER")
        self._message.fragments[:] = [template]
        self._message.status, self._message.ban_regenerate = "CONTENT_FILTER", True
        out += sse({"o": "BATCH", "v": [{"p": "ban_regenerate", "v": True}, {"p": "fragments", "v": [template]}]})
        return out + self._patch("response/status", "SET", "CONTENT_FILTER") + self._closed()

    def end(self, status: Ending, title: str = "") -> bytes:
        """A tip under a finished answer, the usage, the status, and the events that close the stream."""
        out = self._snapshot() + self._thought()
        if status == "FINISHED":
            out += self._begin("TIP", content=TIP, style="WARNING", hide_on_wip=True)
        self._message.status = status
        out += self._counted(status) + self._patch("response/status", "SET", status)
        return out + self._closed(title)

    @property
    def _open(self) -> str:
        fragments = self._message.fragments
        return str(fragments[-1]["type"]) if fragments else ""

    @property
    def _next_id(self) -> int:
        return len(self._message.fragments) + 2  # 1 is the question's

    def _patch(self, path: str, operation: str, value: object) -> bytes:
        self._path = path
        return sse({"p": path, "o": operation, "v": value})

    def _snapshot(self) -> bytes:
        """All there is so far; once."""
        if self._shown:
            return b""
        self._shown = True
        return sse({"v": {"response": self._message.wire()}})

    def resume(self) -> bytes:
        """A continued answer begins again with all that it had."""
        self._message.status = "WIP"
        return self._snapshot()

    def _begin(self, kind: str, **fields: Any) -> bytes:
        out = self._thought()
        stage = 1 if not self._message.fragments or kind != "RESPONSE" else 2
        fragment = {"id": self._next_id, "type": kind, **fields, "stage_id": stage}
        self._message.fragments.append(fragment)
        if kind.startswith("THINK"):
            self._thinking_since = time.monotonic()
        if not self._shown:
            return out + self._snapshot()
        if self._bare:
            self._path = "response/fragments"
            return out + sse({"p": self._path, "v": [fragment]})
        if self._nested or kind.startswith("TOOL_"):
            return out + self._patch("response", "BATCH", [{"p": "fragments", "o": "APPEND", "v": [fragment]}])
        return out + self._patch("response/fragments", "APPEND", [fragment])

    def _delta(self, kind: str, text: str) -> bytes:
        if self._open != kind:
            extra: dict[str, Any] = {"elapsed_secs": None} if kind.startswith("THINK") else {}
            return self._begin(kind, content=text, **extra, references=[])
        self._message.fragments[-1]["content"] += text
        return sse({"v": text}) if self._path == CONTENT else self._patch(CONTENT, "APPEND", text)

    def _finished(self, **fields: str) -> bytes:
        """The end of a tool's fragment."""
        self._message.fragments[-1].update(fields, status="FINISHED")
        batch = [{"p": name, "v": value} for name, value in {"status": "FINISHED", **fields}.items()]
        return self._patch("response/fragments/-1", "BATCH", batch)

    def _thought(self) -> bytes:
        """The end of a THINK fragment, if one is open."""
        if self._thinking_since is None:
            return b""
        seconds = round(time.monotonic() - self._thinking_since, 3)
        self._thinking_since = None
        self._message.fragments[-1]["elapsed_secs"] = seconds
        return self._patch("response/fragments/-1/elapsed_secs", "SET", seconds)

    def _counted(self, status: str) -> bytes:
        usage = {"p": "accumulated_token_usage", "v": self._message.usage}
        return self._patch("response", "BATCH", [usage, {"p": "quasi_status", "v": status}])

    def _closed(self, title: str = "") -> bytes:
        out = b"" if self._bare else sse({}, "finish")
        out += sse({"content": title}, "title") if title else b""
        return out + sse({"click_behavior": "none", "auto_resume": False}, "close")
