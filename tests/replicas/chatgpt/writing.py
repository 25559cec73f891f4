"""An answer as it grows: its messages in the conversation, and the events that tell of them (sections 5 and 10)."""

from __future__ import annotations

import base64
import struct
import uuid
from collections.abc import Iterator
from typing import Any

from tests.replicas.chatgpt.chats import Conversation, Message, Store, message
from tests.replicas.chatgpt.deltas import FINISHED, Deltas, content_text, event
from tests.replicas.scenario import Page, Piece

CITE = "\ue200cite\ue202turn0search{}\ue201"
PNG = b"\x89PNG\r\n\x1a\n"


class Writing:
    """Each method makes one step of the answer below the message ``parent`` and yields its events."""

    def __init__(self, store: Store, conversation: Conversation, parent: str, *, slug: str, v1: bool) -> None:
        self.store, self.conversation, self.slug = store, conversation, slug
        self.deltas = Deltas(conversation.id, v1=v1)
        self.answer = str(uuid.uuid4())
        """Id of the final message."""
        self.found: list[Page] = []
        self._last = parent
        self._thoughts: Message | None = None
        self._final: Message | None = None

    def typed(self, type_: str, **more: Any) -> bytes:
        """An event that is no delta."""
        return event({"type": type_, "conversation_id": self.conversation.id, **more})

    def _open(self, new: Message) -> bytes:
        self.conversation.add(new, self._last)
        self._last = new["id"]
        return self.deltas.open(new)

    def _whole(self, new: Message) -> bytes:
        return self._open(new | {"status": "finished_successfully"})

    def context(self) -> bytes:
        """What the site tells its model before the first prompt: never for people's eyes."""
        hidden = {"is_visually_hidden_from_conversation": True}
        return self._whole(
            message("system", content_text("Hidden context: not a part of any answer."), metadata=hidden)
        )

    def think(self, text: str, *, headed: bool) -> Iterator[bytes]:
        """A piece of reasoning; ``headed`` gives it a summary of its own."""
        if self._thoughts is None:
            self._thoughts = message("assistant", {"content_type": "thoughts", "thoughts": []})
            yield self._open(self._thoughts)
        thoughts = self._thoughts["content"]["thoughts"]
        if headed or not thoughts:
            summary = f"Thought {len(thoughts) + 1}" if headed else ""
            new = [{"summary": summary, "content": text}]
            yield self.deltas.edit(self._thoughts, ("/content/thoughts", "append", new))
        else:
            path = f"/content/thoughts/{len(thoughts) - 1}/content"
            yield self.deltas.edit(self._thoughts, (path, "append", text))

    def _recap(self) -> Iterator[bytes]:
        if self._thoughts is not None:
            yield self.deltas.edit(self._thoughts, FINISHED)
            self._thoughts = None
            recap = {"content_type": "reasoning_recap", "content": "Thought for 7s"}
            yield self._whole(message("assistant", recap, metadata={"finished_duration_sec": 7}))

    def write(self, *parts: str) -> Iterator[bytes]:
        """Pieces of the answer's text; without any, the answer is only opened."""
        yield from self._recap()
        if self._final is None:
            metadata = {"model_slug": self.slug}
            self._final = message("assistant", content_text(), id=self.answer, channel="final", metadata=metadata)
            yield self._open(self._final)
            mark = {"message_id": self.answer, "event": "first"}
            yield self.typed("message_marker", marker="user_visible_token", **mark)
            yield self.typed("message_marker", marker="final_channel_token", **mark)
        for part in parts:
            yield self.deltas.edit(self._final, ("/content/parts/0", "append", part))

    def search(self, query: str, pages: list[Page]) -> Iterator[bytes]:
        """A search: the call, then its results, in messages of their own."""
        groups = [
            {
                "type": "search_result_group",
                "domain": page.url.partition("://")[2].partition("/")[0],
                "entries": [
                    {
                        "type": "search_result",
                        "url": page.url,
                        "title": page.title,
                        "snippet": page.snippet,
                        "ref_id": {"turn_index": 0, "ref_type": "search", "ref_index": len(self.found) + index},
                    }
                ],
            }
            for index, page in enumerate(pages)
        ]
        self.found += pages
        yield from self._recap()
        call = {"content_type": "code", "language": "unknown", "text": f"search({query!r})"}
        yield self._whole(message("assistant", call, recipient="web", channel="commentary"))
        results = message("tool", content_text("Search results: not a part of any answer."))
        yield self._open(results)
        yield self.deltas.edit(results, ("/metadata/search_result_groups", "append", groups))
        yield self.deltas.edit(results, FINISHED)

    def cite(self, number: int) -> Iterator[bytes]:
        """The mark of a page, torn in two, and then what it stands for."""
        page = self.found[number - 1]
        mark = CITE.format(number - 1)
        yield from self.write(mark[:9], mark[9:])
        item = {"title": page.title, "url": page.url, "snippet": page.snippet}
        reference = {
            "matched_text": mark,
            "type": "grouped_webpages",
            "alt": f"([{page.title}]({page.url}))",
            "items": [item],
            "sources": [],
            "refs": [{"turn_index": 0, "ref_type": "search", "ref_index": number - 1}],
            "safe_urls": [page.url],
        }
        assert self._final is not None
        yield self.deltas.edit(self._final, ("/metadata/content_references", "append", [reference]))

    def draw(self, piece: Piece, *, later: int) -> Iterator[bytes]:
        """A picture, in a tool's message; it is ready after ``later`` reads of the conversation if that is not 0."""
        yield from self._recap()
        data = base64.b64decode(piece.data)
        file = self.store.picture(self.conversation.user, data)
        width, height = png_size(data)
        part = {
            "content_type": "image_asset_pointer",
            "asset_pointer": f"sediment://{file.id}",
            "size_bytes": len(data),
            "width": width,
            "height": height,
        }
        picture = message("tool", {"content_type": "multimodal_text", "parts": [part]}, status="finished_successfully")
        if not later:
            yield self._open(picture)
            return
        task = {"image_gen_task_id": f"imagegen-{uuid.uuid4()}"}
        picture["metadata"] |= task
        self.conversation.unpainted.append((later - 1, picture))
        yield self._whole(message("tool", content_text("Processing image"), metadata=task))
        yield self.typed("conversation_async_status", async_status=3)

    def title(self, prompt: str) -> bytes:
        """The conversation's name."""
        self.conversation.title = " ".join(prompt.split())[:24] or "New chat"
        return self.typed("title_generation", title=self.conversation.title)

    def finish(self) -> Iterator[bytes]:
        """The orderly end of a whole answer."""
        yield from self.write()
        assert self._final is not None
        more = {"is_complete": True, "finish_details": {"type": "stop"}}
        yield self.deltas.edit(self._final, FINISHED, ("/end_turn", "replace", True), ("/metadata", "append", more))
        yield self.typed("message_marker", message_id=self.answer, marker="last_token", event="last")
        yield self.typed("server_ste_metadata", metadata={"model_slug": self.slug, "tool_invoked": bool(self.found)})

    def fail(self, text: str) -> bytes:
        """The site gives up: a system error in place of the rest."""
        content = {"content_type": "system_error", "name": "ServerError", "text": text}
        return self._whole(message("tool", content))

    def retract(self) -> bytes:
        """The site takes back what it showed."""
        if self._final is not None:
            self._final["content"]["parts"] = [""]
        blocked = {"blocked": True, "type": "moderation_response"}
        return self.typed("moderation", message_id=self.answer, moderation_response=blocked)

    def close(self) -> str:
        """However it ended: the message that the next prompt follows, which is the answer if there is one."""
        self.conversation.ends |= {self._last, self._final["id"] if self._final else self._last}
        return self._final["id"] if self._final else self._last


def png_size(data: bytes) -> tuple[int, int]:
    """Width and height of a PNG; 1024 each of anything else."""
    if data.startswith(PNG) and len(data) >= 24:
        width, height = struct.unpack(">II", data[16:24])
        return width, height
    return 1024, 1024
