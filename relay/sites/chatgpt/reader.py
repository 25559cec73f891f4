"""The reader of ChatGPT's streams (section 5 of the fact sheet): deltas in encoding v1, and the older snapshots."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from relay.chat.events import Event, Finished, Progress
from relay.errors import SiteChanged
from relay.sites.answered import checked
from relay.sites.base import Reader
from relay.sites.chatgpt.answer import AnswerSoFar
from relay.sites.chatgpt.faults import stream_error
from relay.sites.chatgpt.messages import Conversation, Message, Notice, Snapshot
from relay.wire.json_text import parse_json
from relay.wire.patch import CHATGPT, Change, Deltas, Document
from relay.wire.sse import SseDecoder, SseEvent

TEXT = ("message", "content", "parts", 0)
SHOWN = frozenset({"search_result_groups", "content_references", "image_gen_task_id"})
"""The metadata that answers are made of; other changes of it are none."""
ENDS = frozenset({"message_stream_complete", "main_stream_complete"})
MAX_CHANNELS = 1000
PING = re.compile(r'\s*\{\s*"type"\s*:\s*"ping"')


class ChatGptReader(Reader[SseEvent]):
    """The events of one answer, from one stream after the other until it ends."""

    frames = SseDecoder

    def __init__(self) -> None:
        self.answer = AnswerSoFar()
        self.topic = ""
        """Where the answer goes on, once the site has handed it over to a socket."""
        self._deltas = Deltas(CHATGPT)
        self._documents: dict[int, Document] = {}
        self._channel = 0
        self._growing: dict[int, str] = {}
        """By channel, the message whose text may be told piece by piece."""

    def __repr__(self) -> str:
        return f"<ChatGptReader {self.answer!r} channel={self._channel}>"

    def feed(self, frame: SseEvent) -> Iterable[Event]:
        """Events of one SSE event; one that shows nothing is progress all the same, but for a ping."""
        if frame.event == "ping" or PING.match(frame.data):
            return
        shown = False
        for event in self._read(frame):
            shown = True
            yield event
        if not shown:
            yield Progress()

    def end(self) -> Iterable[Event]:
        """An answer whose end mark came while its citations were still awaited."""
        if self.answer.reason is not None:
            yield from self.answer.finish()

    def read_back(self, conversation: Conversation, *, after: str, complete: bool) -> Iterator[Event]:
        """What the conversation as the site keeps it has beyond what was told.

        `after` is the last message before the prompt: a conversation that ends with it knows nothing of the answer yet.
        With `complete` the site says that nothing more will come.
        """
        messages = newest_turn(conversation)
        if not messages or (after and after in (message.id for message in messages)):
            return
        self.answer.expect(messages)  # a picture may stand before or after the text that ends the turn
        ended: Event | None = None
        for message in messages:
            for event in self.answer.message(message):
                if isinstance(event, Finished):
                    ended = event
                else:
                    yield event
        if ended is not None:
            yield ended
        elif complete and messages[-1].status == "finished_successfully":
            yield from self.answer.finish()

    def _read(self, frame: SseEvent) -> Iterator[Event]:
        if frame.data == "[DONE]":
            yield from self._complete()
            return
        said = parse_json(frame.data, "JSON in ChatGPT's stream")
        match said:
            case "v1" if frame.event == "delta_encoding":
                pass
            case {"type": str()} if frame.event != "delta":
                yield from self._notice(checked(Notice, said, "a notice in ChatGPT's stream"))
            case {"message": _} | {"error": _} if frame.event != "delta":
                yield from self._look(said)
            case dict(delta) if "v" in delta or "o" in delta:
                yield from self._delta(delta)
            case _:
                raise SiteChanged("an event of ChatGPT's stream", f"{frame.event}: {frame.data}")

    def _notice(self, notice: Notice) -> Iterator[Event]:
        if notice.error or notice.type == "error":
            raise stream_error(notice.error)
        yield from self.answer.named(notice.conversation_id)
        match notice.type:
            case "stream_handoff":
                self.answer.handed_over = True
                self.topic = next((option.topic_id for option in notice.options if option.topic_id), self.topic)
            case "moderation" if notice.moderation_response.blocked:
                yield from self.answer.blocked()
            case "content_references_patch":
                yield from self.answer.cite(self.answer.newest, notice.content_references)
            case kind if kind in ENDS:
                yield from self._complete()

    def _complete(self) -> Iterator[Event]:
        """The stream is over: the answer too, unless it goes on elsewhere."""
        if not self.answer.handed_over:
            yield from self.answer.finish()

    def _delta(self, said: dict[str, object]) -> Iterator[Event]:
        channel = said.get("c", self._channel)
        if type(channel) is not int or (channel not in self._documents and len(self._documents) >= MAX_CHANNELS):
            raise SiteChanged("a channel of ChatGPT's deltas", repr(channel)[:200])
        self._channel = channel
        self._deltas.document = document = self._documents.setdefault(channel, Document())
        changes = [change for change in self._deltas.feed(said) if _matters(change)]
        growing = self._growing.get(channel)
        if growing is not None and all(change.path == TEXT and change.op == "append" for change in changes):
            for change in changes:
                yield from self.answer.append(growing, str(change.value))
        elif changes:
            yield from self._look(document.value, channel)

    def _look(self, value: object, channel: int | None = None) -> Iterator[Event]:
        """A message as it stands."""
        snapshot = checked(Snapshot, value, "a message in ChatGPT's stream")
        if snapshot.error:
            raise stream_error(snapshot.error)
        yield from self.answer.named(snapshot.conversation_id)
        message = snapshot.message
        if message is not None:
            yield from self.answer.message(message)
        if channel is not None:
            self._growing.pop(channel, None)
            if message is not None and message.id == self.answer.newest and len(message.content.parts) == 1:
                self._growing[channel] = message.id


def newest_turn(conversation: Conversation) -> list[Message]:
    """The messages after the newest prompt, in order, on the branch that the conversation shows."""
    turn: list[Message] = []
    at, seen = conversation.current_node, set[str]()
    while (node := conversation.mapping.get(at)) is not None and at not in seen:
        seen.add(at)
        at = node.parent
        if node.message is not None:
            if node.message.role == "user":
                break
            turn.append(node.message)
    return turn[::-1]


def _matters(change: Change) -> bool:
    """Whether an edit changes what is told."""
    match change.path:
        case ("message", "metadata"):
            return isinstance(change.value, dict) and not SHOWN.isdisjoint(change.value)
        case ("message", "metadata", key, *_):
            return key in SHOWN
        case ("message", key, *_):
            return key in ("content", "status", "end_turn", "recipient", "channel")
        case _:
            return True
