"""The reader of Claude's answers: events of message blocks (section 5 of the fact sheet)."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from relay.browser.answer import Answer
from relay.chat.events import Event, Finished, Progress, Reasoning, Search, Started, Text, Turned
from relay.errors import ContentRefused, CutAnswer, SiteError
from relay.sites.base import Reader
from relay.sites.claude.blocks import Citations, artifact, parsed, query_of
from relay.sites.claude.errors import Refusal, stream_error
from relay.sites.claude.limits import exceeded
from relay.sites.claude.records import (
    Block,
    BlockDelta,
    BlockStart,
    BlockStop,
    Delta,
    LimitTold,
    MessageDelta,
    Start,
    Stop,
    record_of,
)
from relay.wire.json_text import dump_json
from relay.wire.sse import SseDecoder, SseEvent

COMPLETION = re.compile(r"/chat_conversations/([^/]+)/(?:retry_)?completion")
SEARCH, ARTIFACT = "web_search", "artifacts"


@dataclass(slots=True)
class Open:
    """A block that has begun."""

    type: str = ""
    name: str = ""
    input: list[str] = field(default_factory=list)
    """Pieces of JSON."""
    headlines: list[str] = field(default_factory=list)
    thought: bool = False
    """Whether its reasoning was told itself, not only in headlines."""


class ClaudeReader(Reader[SseEvent]):
    """The answer stream. Which conversation it is in, only the answer's address tells."""

    frames = SseDecoder

    def __init__(self) -> None:
        self._conversation = ""
        self._blocks: dict[int, Open] = {}
        self._citations = Citations()
        self._begun = False
        self._last = ""
        """The last character of the text so far."""
        self._waiting = ""
        """The tool whose result the message waits for."""
        self._reason = ""

    async def read(self, answer: Answer) -> AsyncGenerator[Event, None]:
        """Events of a whole answer."""
        found = COMPLETION.search(urlsplit(answer.url).path)
        if found:
            self._conversation = unquote(found[1])
            yield Started(self._conversation)
        async for event in super().read(answer):
            yield event

    def feed(self, frame: SseEvent) -> Iterable[Event]:
        """Events of one event of the stream."""
        match record_of(frame):
            case Start(message=head):
                self._begun = True
                if head.uuid:
                    yield Turned(self._conversation, head.uuid)
            case BlockStart(index=index, content_block=block):
                yield from self._open(index, block)
            case BlockDelta(index=index, delta=delta):
                yield from self._grow(self._blocks.setdefault(index, Open()), delta)
            case BlockStop(index=index):
                yield from self._close(self._blocks.pop(index, Open()))
            case MessageDelta(delta=end):
                self._reason = end.stop_reason or self._reason
            case LimitTold(message_limit=limit):
                yield from limit.quotas()
                if limit.exceeded and not self._reason:  # after an answer it tells of the next one
                    raise exceeded(limit, refused=not self._begun)
            case Stop():
                yield self._end()
            case Refusal(error=fault):
                raise stream_error(fault, refused=not self._begun)

    def _say(self, text: str) -> Text:
        self._last = text[-1]
        return Text(text)

    def _open(self, index: int, block: Block) -> Iterable[Event]:
        opened = self._blocks[index] = Open(block.type, block.name or "")
        match block.type:
            case "text" if block.text:
                yield self._say(block.text)
            case "thinking" if block.thinking:
                opened.thought = True
                yield Reasoning(block.thinking)
            case "tool_use":
                self._waiting = opened.name if opened.name != ARTIFACT else ""
                opened.input = [dump_json(block.input)] if block.input else []
                yield Progress(opened.name)
            case "tool_result":
                self._waiting = ""
                yield from self._citations.found(block.content)

    def _grow(self, block: Open, delta: Delta) -> Iterable[Event]:
        match delta.type:
            case "text_delta" if delta.text:
                yield self._say(delta.text)
            case "thinking_delta" if delta.thinking:
                block.thought = True
                yield Reasoning(delta.thinking)
            case "thinking_summary_delta" if delta.summary is not None:
                block.headlines.append(delta.summary.summary)
                yield Progress(delta.summary.summary)
            case "input_json_delta":
                block.input.append(delta.partial_json)
                yield Progress(block.name)
            case "tool_use_block_update_delta":
                yield Progress(delta.message if isinstance(delta.message, str) else block.name)
            case "citation_start_delta":
                yield from self._citations.found(delta.citation)
                self._citations.begin(delta.citation)
            case "citation_end_delta":
                yield from self._citations.found(delta.citation)
                if link := self._citations.end(delta.citation or delta.citation_uuid):
                    yield self._say(link)

    def _close(self, block: Open) -> Iterable[Event]:
        raw = "".join(block.input)
        match block.type:
            case "text":
                if links := self._citations.rest():
                    yield self._say(links)
            case "thinking" if block.headlines and not block.thought:
                yield Reasoning("".join(f"{headline}\n" for headline in block.headlines))
            case "tool_use" if block.name == SEARCH:
                if query := query_of(parsed(raw)):
                    yield Search(query)
            case "tool_use" if block.name == ARTIFACT and raw:
                before = "\n\n" if self._last not in ("", "\n") else ""  # a fence begins a line
                yield self._say(before + artifact(raw))
            case "tool_result" if raw:
                yield from self._citations.found(parsed(raw))

    def _end(self) -> Finished:
        """The end mark. Raises what makes an answer of it that is none."""
        match self._reason:
            case "refusal" if not self._last:
                raise ContentRefused("Claude refuses to answer this. Word the request differently.")
            case "refusal":
                return Finished("content_filter")
            case "max_tokens" | "pause_turn":  # a pause: the site's own limit of one turn
                return Finished("length")
            case "tool_use" if self._waiting:
                raise CutAnswer(
                    f"Claude waits for its page to run the tool {self._waiting[:60]!r}, which relay does not."
                )
        if not self._last:
            raise SiteError("Claude ended its answer without a word. Send the request again.")
        return Finished("stop")
