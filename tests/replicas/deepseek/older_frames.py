"""The streams of 2025 (end of the fact sheet's section 5): what an adapter may meet again."""

from __future__ import annotations

from typing import Any

from tests.replicas.deepseek.frames import Ending, found, sse
from tests.replicas.deepseek.sessions import Message
from tests.replicas.scenario import Page


class Kept:
    """Keeps the message's text, which these streams do not tell in fragments."""

    def __init__(self, message: Message) -> None:
        self._message = message
        self._pages = 0

    def _keep(self, kind: str, text: str) -> None:
        fragments = self._message.fragments
        if not fragments or fragments[-1]["type"] != kind:
            fragments.append({"id": len(fragments) + 2, "type": kind, "content": ""})
        fragments[-1]["content"] += text

    def _results(self, pages: list[Page]) -> list[dict[str, Any]]:
        self._pages += len(pages)
        return found(pages, self._pages - len(pages))


class FlatPatches(Kept):
    """2025, second half: patches to ``response/content`` and its neighbours."""

    def __init__(self, message: Message) -> None:
        super().__init__(message)
        self._path = ""
        self._shown = False

    def text(self, text: str) -> bytes:
        """A delta of ``response/content``."""
        self._keep("RESPONSE", text)
        return self._append("response/content", text)

    def reasoning(self, text: str) -> bytes:
        """A delta of ``response/thinking_content``."""
        self._keep("THINK", text)
        return self._append("response/thinking_content", text)

    def search(self, query: str, pages: list[Page]) -> bytes:
        """The list without numbers, then a number for each."""
        results = self._results(pages)
        numbers = [{"p": f"{at}/cite_index", "v": result.pop("cite_index")} for at, result in enumerate(results)]
        out = self._set("response/search_status", "SEARCHING") + self._set("response/search_results", results)
        if numbers:
            out += sse({"p": "response/search_results", "o": "BATCH", "v": numbers})
        return out + self._set("response/search_status", "FINISHED")

    def cite(self, page: int) -> bytes:
        """``[citation:i]`` by ``cite_index``."""
        return self.text(f"[citation:{page}]")

    def refuse(self, text: str) -> bytes:
        """The refusal's words instead of the answer's."""
        self._message.fragments[:] = []
        self._keep("TEMPLATE_RESPONSE", text)
        return self._set("response/content", text) + self._end("CONTENT_FILTER")

    def end(self, status: Ending, title: str = "") -> bytes:
        """The status, the title, the end."""
        return self._snapshot() + self._end(status, title)

    def _end(self, status: str, title: str = "") -> bytes:
        self._message.status = status
        out = self._set("response/status", status) + sse({}, "finish")
        return out + (sse({"content": title}, "title") if title else b"") + sse({"click_behavior": "none"}, "close")

    def _snapshot(self) -> bytes:
        if self._shown:
            return b""
        self._shown = True
        told = {name: value for name, value in self._message.wire().items() if name != "fragments"}
        empty = {"content": "", "thinking_content": None, "search_status": None, "search_results": None}
        return sse({"v": {"response": told | empty}})

    def _append(self, path: str, text: str) -> bytes:
        out, again = self._snapshot(), self._path == path
        self._path = path
        return out + sse({"v": text} if again else {"p": path, "o": "APPEND", "v": text})

    def _set(self, path: str, value: object) -> bytes:
        out = self._snapshot()
        self._path = path
        return out + sse({"p": path, "o": "SET", "v": value})


class Choices(Kept):
    """2025, first half: records like OpenAI's, and ``[DONE]``."""

    def text(self, text: str) -> bytes:
        """``type: text``."""
        self._keep("RESPONSE", text)
        return self._delta("text", content=text)

    def reasoning(self, text: str) -> bytes:
        """``type: thinking``."""
        self._keep("THINK", text)
        return self._delta("thinking", content=text)

    def search(self, query: str, pages: list[Page]) -> bytes:
        """``type: search_result`` with the list, then ``search_index`` with the numbers."""
        results = self._results(pages)
        numbers = [{"url": result["url"], "cite_index": result.pop("cite_index")} for result in results]
        out = self._delta("search_result", search_results=results)
        return out + self._delta("search_index", search_indexes=numbers)

    def cite(self, page: int) -> bytes:
        """``[citation:i]`` by ``cite_index``."""
        return self.text(f"[citation:{page}]")

    def refuse(self, text: str) -> bytes:
        """The refusal's words follow; nothing is taken back."""
        self._message.fragments[:] = []
        self._keep("TEMPLATE_RESPONSE", text)
        self._message.status = "CONTENT_FILTER"
        return self._delta("text", "content_filter", content=text) + b"data: [DONE]\n\n"

    def end(self, status: Ending, title: str = "") -> bytes:
        """A last record with the reason, and the mark."""
        self._message.status = status
        reason = "stop" if status == "FINISHED" else status.lower()
        return self._delta("text", reason, content="") + b"data: [DONE]\n\n"

    def _delta(self, kind: str, reason: str | None = None, **delta: object) -> bytes:
        return sse({"choices": [{"index": 0, "delta": {"type": kind, **delta}, "finish_reason": reason}]})
