"""The reader of DeepSeek's answers: patches of one growing message (section 5 of the fact sheet), and older shapes.

A patch that lets text grow is told as it comes. After any other (a snapshot, a new fragment, a batch) the message is
looked at as a whole, and what is new in it is told: so an answer that begins again after a continuation says nothing
twice.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from typing import Any, Literal

from relay.browser.answer import Answer
from relay.chat.events import Event, Finished, Progress, Reasoning, Retracted, Search, Sources, Text, Turned
from relay.errors import BadFrame, ContentRefused, ContextTooLong, CutAnswer, RelayError, SiteChanged, SiteError
from relay.sites.answered import checked
from relay.sites.base import Reader
from relay.sites.deepseek.answer import OLDER, Choices, Fragment, Message, Ready, Root
from relay.sites.deepseek.citations import Pages, Passage
from relay.sites.deepseek.messages import envelope
from relay.wire.json_text import parse_json
from relay.wire.patch import DEEPSEEK, Change, Deltas, Document
from relay.wire.sse import SseDecoder, SseEvent

NUMBERS = "the numbers of DeepSeek's messages"
KINDS: dict[str, type[Text] | type[Reasoning]] = {"THINK": Reasoning, "THINKING": Reasoning, "RESPONSE": Text}
"""Fragments that are told. SEARCH, TOOL_SEARCH, TOOL_OPEN are looked into, TIP is the page's own disclaimer."""
CURRENT = "response/fragments/-1/content"
TEXTS = (*OLDER, "status")
"""Ends of paths whose strings are continued by bare ones."""


class DeepSeekReader(Reader[SseEvent]):
    """The answer stream. The stream itself does not tell its conversation: whoever knows it says so."""

    frames = SseDecoder

    def __init__(self, conversation: str = "") -> None:
        self.message = 0
        """The answer's number in its conversation; 0 until it is known."""
        self.incomplete = False
        """Whether the answer ended where it may be continued."""
        self.over = False
        """Whether the answer has ended, well or not."""
        self.shown = False
        """Whether text or reasoning was told."""
        self._conversation = conversation
        self._answered = False
        self._path = ""
        self._passages: list[tuple[str, Passage]] = []
        """By fragment, its type and what was told of it."""
        self._queries: dict[int, int] = {}
        self._pages = Pages()
        self._deltas = Deltas(DEEPSEEK, Document({"response": {"fragments": []}}))

    def __repr__(self) -> str:
        return f"<DeepSeekReader message {self.message or '-'} {[kind for kind, _ in self._passages]}>"

    async def read_part(self, answer: Answer) -> AsyncGenerator[Event, None]:
        """Events of one of the streams that an answer comes in: it has no end mark where it is `incomplete`."""
        self.incomplete = self.over = False
        self._deltas.document.apply("SET", ("response", "status"), "WIP")
        async for event in self.read(answer):
            if not (self.incomplete and isinstance(event, Finished)):
                yield event

    def feed(self, frame: SseEvent) -> Iterable[Event]:
        """Events of one frame; none once the answer is over."""
        if self.over:
            return
        match frame.event:
            case "ready":
                ready = checked(Ready, parse_json(frame.data, NUMBERS), NUMBERS)
                yield from self._numbered(ready.response_message_id)
            case "message" if frame.data.strip() == "[DONE]":
                yield from self._finish("stop")
            case "message":
                yield from self._said(frame.data)
            case "finish":
                yield from self._concluded(self._whole(), over=True)
            case "close":
                yield from self.end()
                raise CutAnswer("DeepSeek ended its answer without completing it. Send the request again.")
            case _:  # update_session is a heartbeat, the title is nobody's business
                pass

    def end(self) -> Iterable[Event]:
        """A refusal needs no other end mark."""
        if (refused := self._whole().refused) is not None and not self.over:
            yield from self._refuse(refused)

    def _said(self, data: str) -> Iterable[Event]:
        said = parse_json(data, "a patch of DeepSeek")
        if not isinstance(said, dict):
            raise BadFrame("an object in DeepSeek's stream", data)
        if "choices" in said:
            yield from self._older(checked(Choices, said, "a chunk of DeepSeek's answer"))
        elif "code" in said and "v" not in said:
            raise self._fault(data)
        else:
            yield from self._patched(self._completed(said))

    def _fault(self, data: str) -> RelayError:
        return envelope(data).error(refused=not self.shown) or SiteChanged("a patch of DeepSeek", data)

    def _completed(self, patch: dict[str, Any]) -> dict[str, Any]:
        """A patch with the path that it leaves out, where that is not simply the one before."""
        path, op, v = patch.get("p"), patch.get("o"), patch.get("v")
        if op == "BATCH":
            return {"p": "response", **patch}
        if isinstance(path, str):
            self._path = path
        elif op is None and isinstance(v, dict):
            self._path = ""  # a snapshot
        elif op is None and isinstance(v, str) and self._path.rpartition("/")[2] not in TEXTS:
            # Bare text belongs to the fragment that is being written, whatever was patched last.
            self._path = CURRENT
            return {"p": CURRENT, "o": "APPEND", "v": v}
        return patch

    def _patched(self, patch: dict[str, Any]) -> Iterable[Event]:
        changes = self._deltas.feed(patch)
        if all(map(self._grew, changes)):
            yield from self._tell()
            return
        message = self._whole()
        events = [*self._compared(message), *self._concluded(message)]
        yield from events or [Progress("DeepSeek goes on")]

    def _grew(self, change: Change) -> bool:
        """Whether the change is more text of a fragment that is known; then it is noted."""
        match change.path:
            case ("response", "fragments", int(at), "content") if at < len(self._passages):
                pass
            case ("response", "content" | "thinking_content" as field) if len(self._passages) == len(OLDER):
                at = OLDER.index(field)
            case _:
                return False
        if change.op != "append" or not isinstance(change.value, str):
            return False
        self._passages[at][1].grow(change.value)
        return True

    def _whole(self) -> Message:
        return checked(Root, self._deltas.document.value, "the message in DeepSeek's answer").response

    def _compared(self, message: Message) -> Iterable[Event]:
        """What is new in the message as it stands."""
        if message.message_id:
            yield from self._numbered(message.message_id)
        if message.template is not None:
            return  # it stands in the place of all that was told
        parts = message.parts()
        for at, part in enumerate(parts):
            if at == len(self._passages):
                yield from self._tell(final=True)
                self._passages.append((part.type, Passage()))
            kind, passage = self._passages[at]
            if kind != part.type:
                raise SiteChanged(f"that the fragment {kind} stays", f"{part.type} in its place")
            yield from self._searched(at, part)
            if kind in KINDS:
                passage.references = part.references or ()
                passage.become(part.content)
        if len(parts) < len(self._passages):
            raise SiteChanged(f"a message of {len(self._passages)} fragments", f"{len(parts)} of them")
        yield from self._tell()

    def _searched(self, at: int, part: Fragment) -> Iterable[Event]:
        queries = part.queries or []
        for query in queries[self._queries.get(at, 0) :]:
            if query.query:
                yield Search(query.query)
        self._queries[at] = len(queries)
        pages = [*(part.results or ()), *((part.result,) if part.result is not None else ())]
        if new := self._pages.found(part.id, pages):
            yield Sources(tuple(new))

    def _tell(self, *, final: bool = False) -> Iterable[Event]:
        """The text that is settled by now."""
        for kind, passage in self._passages:
            if kind in KINDS and (text := passage.take(self._pages, final=final)):
                self.shown = True
                self._answered = self._answered or kind == "RESPONSE"
                yield KINDS[kind](text)

    def _older(self, chunk: Choices) -> Iterable[Event]:
        """A chunk of the first half of 2025."""
        if not self._passages:
            self._passages = [("THINK", Passage()), ("RESPONSE", Passage())]
        for choice in chunk.choices:
            delta = choice.delta
            if delta.search_results and (new := self._pages.found(None, delta.search_results)):
                yield Sources(tuple(new))
            if delta.content and delta.type in ("thinking", "text"):
                self._passages[delta.type == "text"][1].grow(delta.content)
        yield from self._tell()

    def _numbered(self, message: int) -> Iterable[Event]:
        if message != self.message:
            self.message = message
            yield Turned(self._conversation, str(message))

    def _concluded(self, message: Message, *, over: bool = False) -> Iterable[Event]:
        """What the message's statuses say of its end; `over`: the site says that there will be no more."""
        refused, status = message.refused, message.status
        if refused is not None and (message.template is None or over or status not in ("", "WIP")):
            yield from self._refuse(refused)
        elif status == "CONTEXT_LENGTH_EXCEEDED":
            if not self.shown:
                raise ContextTooLong("DeepSeek's conversation is full (about 1,000,000 characters): begin a new one.")
            yield from self._finish("length")
        elif status == "INCOMPLETE":
            self.incomplete = True
            yield from self._finish("length")
        elif status == "FINISHED" or (over and message.quasi_status == "FINISHED"):
            yield from self._finish("stop")

    def _refuse(self, said: str) -> Iterable[Event]:
        self.over = True
        if not self.shown:
            raise ContentRefused(f"DeepSeek refuses to answer. It says: {said!r}", quotes=True)
        yield Retracted(said)

    def _finish(self, reason: Literal["stop", "length"]) -> Iterable[Event]:
        self.over = True
        for _, passage in self._passages:
            if passage.revised is not None:  # only its last word counts: before that it may be on its way to a refusal
                raise passage.revised
        yield from self._tell(final=True)
        if not self._answered and reason == "stop":
            raise SiteError("DeepSeek ended its answer without a word. Send the request again.")
        yield Finished(reason)
