"""The messages of one answer of ChatGPT, as they grow, told as events (section 5 of the fact sheet).

An answer may begin in one stream and go on in another, in a socket or in the conversation read back. Parts come twice
then, so each message is told by how much of it was told already, whatever repeats it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from relay.chat.events import (
    Event,
    Finished,
    FinishReason,
    Media,
    Reasoning,
    Retracted,
    Search,
    Source,
    Sources,
    Started,
    Text,
    Turned,
)
from relay.errors import ContentRefused, SiteChanged
from relay.sites.chatgpt.faults import stream_error
from relay.sites.chatgpt.marks import Marks, Told, link
from relay.sites.chatgpt.messages import Message, Page, Reference
from relay.sites.chatgpt.requests import picture_address


@dataclass(slots=True)
class _Spoken:
    """What was told of one message's text."""

    told: Told = field(default_factory=Told)
    marks: Marks = field(default_factory=Marks)


class AnswerSoFar:
    """What was told of an answer, and what each further piece adds."""

    def __init__(self) -> None:
        self.conversation = ""
        self.newest = ""
        """The id of the answer's newest message."""
        self.handed_over = False
        """Whether the site has said that the answer goes on elsewhere, and nothing of that has come yet."""
        self.reason: FinishReason | None = None
        """Set by the end mark of the newest message."""
        self._over = False
        self._turned = ""
        self._spoken: dict[str, _Spoken] = {}
        self._thoughts: dict[str, Told] = {}
        self._numbers: dict[str, int] = {}
        self._media: set[str] = set()
        self._searches: set[tuple[str, str]] = set()
        self._owed: set[str] = set()
        self._paid: set[str] = set()
        """Tasks that make pictures: those under way, and those whose picture was shown."""

    def __repr__(self) -> str:
        return f"<AnswerSoFar {self.conversation or '-'} {self.newest or '-'} ended={self.reason}>"

    @property
    def told(self) -> bool:
        """Whether anything of the answer itself is here."""
        return bool(self._media) or any(spoken.told.size for spoken in self._spoken.values())

    def named(self, conversation: str) -> Iterator[Event]:
        """The site names the conversation."""
        if conversation and not self.conversation:
            self.conversation = conversation
            yield Started(conversation)

    def message(self, message: Message) -> Iterator[Event]:
        """What a message as it stands has that was not told."""
        if message.content.content_type == "system_error":
            raise stream_error(message.content.text)
        if message.role not in ("assistant", "tool") or message.metadata.is_visually_hidden_from_conversation:
            return
        for query in message.searches:
            if (message.id, query) not in self._searches:
                self._searches.add((message.id, query))
                yield Search(query)
        yield from self._sources(page for group in message.metadata.search_result_groups for page in group.entries)
        self.expect([message])
        yield from self._pictures(message.content.pictures)
        if message.content.content_type == "thoughts":
            yield from self._thought(message)
        elif message.is_answer:
            yield from self._answer(message)

    @property
    def awaits_picture(self) -> bool:
        """Whether the site has begun a picture and not shown it yet."""
        return bool(self._owed)

    def expect(self, messages: Iterable[Message]) -> None:
        """Note the pictures that the site says it is making, and those that are made."""
        for message in messages:
            task = message.metadata.image_gen_task_id
            if message.content.pictures:
                self._paid.add(task)
                self._owed = self._owed - {task} if task else set()
            elif task and task not in self._paid:
                self._owed.add(task)

    def append(self, message: str, piece: str) -> Iterator[Event]:
        """The next piece of the text of a message that was told as it stood before."""
        yield from self._said(message, self._spoken[message].told.append(piece))

    def cite(self, message: str, references: Sequence[Reference]) -> Iterator[Event]:
        """What the marks in a message's text stand for."""
        for reference in references:
            pages = reference.pages
            yield from self._sources(pages)
            meaning = "".join(link(self._numbers[page.url], page.url) for page in pages) or reference.alt
            if message in self._spoken and reference.matched_text:
                yield from _texts(self._spoken[message].marks.know(reference.matched_text, meaning))

    def finish(self) -> Iterator[Event]:
        """The end mark, where there is an answer that it may end: what else ends has none yet, or never."""
        if self.awaits_picture or self._over or not self.told:
            return
        self._over = True
        if (spoken := self._spoken.get(self.newest)) is not None:
            if spoken.told.revised:
                raise SiteChanged("an answer that goes on from what it showed", "one that was rewritten")
            yield from _texts(spoken.marks.close())
        if self.conversation and self.newest and self._turned != self.newest:
            yield Turned(self.conversation, self.newest)
        yield Finished(self.reason or "stop")

    def blocked(self) -> Iterator[Event]:
        """The site's own censor has stopped the answer."""
        if not self.told and not self._thoughts:
            raise ContentRefused("ChatGPT's moderation blocked the content.")
        yield Retracted("ChatGPT's moderation blocked the answer.")

    # parts of a message

    def _thought(self, message: Message) -> Iterator[Event]:
        steps = ["\n".join(filter(None, (step.summary, step.content))) for step in message.content.thoughts]
        # A revision of what was thought is not worth the answer.
        if new := self._thoughts.setdefault(message.id, Told()).become("\n\n".join(steps)):
            self.handed_over = False
            yield Reasoning(new)

    def _answer(self, message: Message) -> Iterator[Event]:
        if message.id not in self._spoken:
            yield from self._opened(message.id)
        spoken = self._spoken[message.id]
        yield from self.cite(message.id, message.metadata.content_references)
        yield from self._said(message.id, spoken.told.become(message.content.words))
        if message.status == "finished_successfully" and message.end_turn and message.id == self.newest:
            self.reason = "length" if message.metadata.finish_reason == "max_tokens" else "stop"
            if not spoken.marks.waiting:  # else what they mean may still come, with the stream's end at the latest
                yield from self.finish()

    def _opened(self, message: str) -> Iterator[Event]:
        if self.newest in self._spoken:
            yield from _texts(self._spoken[self.newest].marks.close())
        self._spoken[message] = _Spoken()
        self.newest, self.reason = message, None
        if self.conversation:
            self._turned = message
            yield Turned(self.conversation, message)

    def _said(self, message: str, new: str) -> Iterator[Event]:
        if not new:
            return
        self.handed_over = False  # it is here that it goes on
        spoken = self._spoken[message]
        first = spoken.told.size == len(new)
        if first and any(other.told.size for other in self._spoken.values() if other is not spoken):
            yield Text("\n\n")
        yield from _texts(spoken.marks.feed(new))

    def _sources(self, pages: Iterable[Page]) -> Iterator[Event]:
        new: list[Source] = []
        for page in pages:
            if page.url and page.url not in self._numbers:
                self._numbers[page.url] = len(self._numbers) + 1
                new.append(Source(page.url, page.title, page.snippet, self._numbers[page.url]))
        if new:
            yield Sources(tuple(new))

    def _pictures(self, pointers: Sequence[str]) -> Iterator[Event]:
        for pointer in pointers:
            if pointer not in self._media:
                self._media.add(pointer)
                self.handed_over = False
                yield Media("image", picture_address(pointer, self.conversation), private=True)


def _texts(text: str) -> Iterator[Event]:
    if text:
        yield Text(text)
