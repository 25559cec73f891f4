"""Several models asked at once (`model: "a+b"`): one answer with a section for each, in the order of their names."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace

from loguru import logger

from relay.chat.events import Event, Finished, Media, Reasoning, Retracted, Search, Sources, Text, ToolCall
from relay.chat.request import ChatRequest
from relay.errors import ContentRefused, CutAnswer, RelayError
from relay.pool.face import Chat


class CompareChat:
    """The pool's Chat around several of its own.

    The first section that is not finished passes as it comes, its reasoning too; what the later ones write is held
    until it is their turn. A model that fails has its error in its section; the whole fails only where all do.
    """

    def __init__(self, submit: Callable[[ChatRequest], Chat], requests: Sequence[ChatRequest]) -> None:
        """Submits them all. Raises what `submit` raised first, where it takes none."""
        self._sections = [_Section(submit, request) for request in requests]
        self._live = self._sections[0]
        self.id = requests[0].id
        if all(section.chat is None for section in self._sections):
            raise self._first_error()

    def __repr__(self) -> str:
        return f"<CompareChat {' '.join(map(repr, self._sections))}>"

    @property
    def site(self) -> str:
        return "+".join(section.request.choice.site for section in self._sections)

    @property
    def account(self) -> str:
        return self._joined("account")

    @property
    def driver(self) -> str:
        return self._joined("driver")

    @property
    def queue_ms(self) -> float:
        return max(chat.queue_ms for chat in self._chats())

    @property
    def heard(self) -> str:
        return ""

    def note(self) -> str:
        return self._live.chat.note() if self._live.chat is not None else ""

    def delivered(self, text: str, calls: tuple[ToolCall, ...] = ()) -> None:
        """No site knows what the others said: none can go on from here."""

    async def cancel(self) -> None:
        await asyncio.gather(*(chat.cancel() for chat in self._chats()))

    async def __aiter__(self) -> AsyncIterator[Event]:
        """The sections, then `Finished("stop")`. Raises the first error where every model failed."""
        pumps = [asyncio.create_task(section.pump(), name=f"compared: {section!r}") for section in self._sections]
        try:
            # Headings wait for something to stand under them: what fails at once then still has a status of its own.
            heading, between = "", ""
            for section in self._sections:
                self._live = section
                heading += f"{between}### {section.name}\n\n"
                between = "\n\n"
                async for event in section.events():
                    if heading and isinstance(event, Text | Media):
                        yield Text(heading)
                        heading = ""
                    yield event
                if section.error is not None:
                    heading += f"{'' if heading else between}> {_said(section.error)}"
            if all(section.error is not None for section in self._sections):
                raise self._first_error()
            if heading:
                yield Text(heading)
            yield Finished("stop")
            await asyncio.gather(*pumps)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    def _chats(self) -> list[Chat]:
        return [section.chat for section in self._sections if section.chat is not None]

    def _joined(self, name: str) -> str:
        return "+".join(filter(None, (getattr(chat, name) for chat in self._chats())))

    def _first_error(self) -> Exception:
        return next(section.error for section in self._sections if section.error is not None)


class _Section:
    """One model's part of the answer."""

    def __init__(self, submit: Callable[[ChatRequest], Chat], request: ChatRequest) -> None:
        self.request = request
        self.name = request.choice.requested
        self.chat: Chat | None = None
        self.error: Exception | None = None
        """What ended it in place of its end mark."""
        self._is_live = False
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()
        try:
            self.chat = submit(request)
        except RelayError as error:
            self.error = error

    def __repr__(self) -> str:
        return f"<{self.name} {'live' if self._is_live else 'held'} {self._events.qsize()} events>"

    async def events(self) -> AsyncIterator[Event]:
        """What was held, then what comes, up to its end or its error."""
        self._is_live = True
        while (event := await self._events.get()) is not None:
            yield event

    async def pump(self) -> None:
        """Run the chat to its end."""
        ended = False
        try:
            if self.chat is not None:
                async for event in self.chat:
                    match event:
                        case Retracted(reason):
                            raise ContentRefused(f"The site took its answer back. {reason}".strip())
                        case Finished():
                            ended = True
                            self._events.put_nowait(None)
                        case Reasoning():
                            self._put(event, only_live=True)
                        case Search():
                            if not self.request.choice.silent:
                                self._put(event, only_live=True)
                        case Sources(items):
                            # Their numbers are the site's own, and would be those of others too.
                            self._put(Sources(tuple(replace(source, index=None) for source in items)))
                        case Text() | Media():
                            self._put(event)
                if not ended:
                    self.error = CutAnswer("The answer ended without its end mark.")
        except Exception as error:
            if ended:  # its answer is whole; what went wrong afterwards is not its reader's business
                logger.opt(exception=error).warning("{} failed after its answer", self.name)
            else:
                self.error = error
        finally:
            if not ended:
                self._events.put_nowait(None)

    def _put(self, event: Event, *, only_live: bool = False) -> None:
        if self._is_live or not only_live:
            self._events.put_nowait(event)


def _said(error: Exception) -> str:
    """One line."""
    if not isinstance(error, RelayError):
        logger.opt(exception=error).error("a compared chat failed unexpectedly")
        error = RelayError("relay failed unexpectedly; its log says more under this request id.")
    return f"Failed ({error.code}): {' '.join(error.message.split())}"
