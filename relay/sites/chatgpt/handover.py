"""An answer that does not end in the request it began in: handed over by the site, or broken off (fact sheet, 5).

The page reads on by itself: in a call that resumes the stream, in a socket, or by asking until the conversation holds
the answer. All that is read from the page's own traffic. When nothing comes of it for a while, the relay asks as well.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from urllib.parse import urlsplit

from loguru import logger

from relay.browser.tab import Tab
from relay.browser.traffic import Exchange, SocketFrame, Traffic
from relay.chat.events import Event, Finished
from relay.errors import CutAnswer, RelayError, SiteError, SiteUnavailable
from relay.sites.chatgpt.calls import read_back, stream_status
from relay.sites.chatgpt.messages import Conversation
from relay.sites.chatgpt.reader import ChatGptReader
from relay.sites.chatgpt.socket import SocketReader

ASK_S, SELDOM_S = 3.0, 12.0
"""After so long without a word of the answer the site is asked how it stands; then ever more seldom."""
ASKS = 3
"""How often the site may say that the answer is over, or not say anything, without its end mark being there."""
RESUME = re.compile(r"/f/conversation/resume$")
READ_BACK = re.compile(r"/backend-api/conversation/[^/]+$")
GIVE_UP = (404, 410)
"""Of a resume call: there is nothing to resume, the conversation has what there is."""


class Handover:
    """Reads one answer on; `after` is the last message before its prompt."""

    def __init__(self, tab: Tab, reader: ChatGptReader, conversation: str, after: str) -> None:
        self._tab = tab
        self._reader = reader
        self._known = conversation
        self._after = after
        self._socket = SocketReader(reader)
        self._failures = 0
        self._due = False
        """Whether the site is to be asked at once."""

    def __repr__(self) -> str:
        return f"<Handover {self._conversation or '-'} {self._reader!r} failures={self._failures}>"

    @property
    def _conversation(self) -> str:
        return self._reader.answer.conversation or self._known

    async def events(self, traffic: Traffic) -> AsyncGenerator[Event, None]:
        """What is left of the answer, to its end. Raises CutAnswer where the site has no more of it."""
        now = asyncio.get_running_loop().time
        heard, gap_s = now(), ASK_S
        async with aclosing(arrivals(traffic, ASK_S)) as items:
            async for item in items:
                async with aclosing(self._of(item)) as events:
                    async for event in events:
                        heard, gap_s = now(), ASK_S
                        yield event
                        if isinstance(event, Finished):
                            return
                if not self._due and now() - heard < gap_s:
                    continue
                self._due = False
                async with aclosing(self._ask()) as events:
                    async for event in events:
                        yield event
                        if isinstance(event, Finished):
                            return
                heard, gap_s = now(), min(2 * gap_s, SELDOM_S)

    async def _of(self, item: Exchange | SocketFrame | None) -> AsyncGenerator[Event, None]:
        match item:
            case SocketFrame(sent=False, data=str(text)):
                for event in self._socket.feed(text, self._conversation):
                    yield event
            case Exchange(method="POST", url=url) if RESUME.search(urlsplit(url).path):
                async for event in self._resumed(item):
                    yield event
            case Exchange(method="GET", url=url) if READ_BACK.search(urlsplit(url).path):
                async for event in self._page_read_back(item):
                    yield event

    async def _resumed(self, exchange: Exchange) -> AsyncGenerator[Event, None]:
        """The stream that the page resumed. What it may try again, it does."""
        try:
            answer = await exchange.answer()
            if answer.status == 200:
                answer.expect("text/event-stream")
                self._tab.draining = answer
                async for event in self._reader.read(answer):
                    yield event
            self._due = answer.status in GIVE_UP
        except SiteError:
            raise
        except SiteUnavailable as error:  # a cut answer too
            self._tab.check()
            logger.debug("the resumed answer broke off: {}", error)

    async def _page_read_back(self, exchange: Exchange) -> AsyncGenerator[Event, None]:
        """The conversation as the page reads it, where it is ours."""
        if not urlsplit(exchange.url).path.endswith(f"/{self._conversation}"):
            return
        try:
            answer = await exchange.answer()
            kept = Conversation.model_validate_json(await answer.read()) if answer.status == 200 else None
        except (ValueError, RelayError) as error:
            logger.debug("what the page read back is not known: {}", error)
            return
        if kept is not None:
            for event in self._reader.read_back(kept, after=self._after, complete=False):
                yield event

    async def _ask(self) -> AsyncGenerator[Event, None]:
        """Ask the site how the answer stands, and for the answer where it is over. Raises CutAnswer."""
        try:
            status = await stream_status(self._tab, self._conversation)
            kept = None if status == "IS_STREAMING" else await read_back(self._tab, self._conversation)
        except RelayError as error:
            self._tab.check()
            logger.debug("the site does not tell how the answer stands: {}", error)
            self._failed()
            return
        if kept is None:
            return
        for event in self._reader.read_back(kept, after=self._after, complete=status == "COMPLETE"):
            yield event
        if status == "FAILURE":
            raise CutAnswer("ChatGPT gave the answer up in the middle. Send the request again.")
        if not self._reader.answer.awaits_picture:
            self._failed()

    def _failed(self) -> None:
        self._failures += 1
        if self._failures >= ASKS:
            raise CutAnswer("The site's answer ended without its end mark, and the conversation has no more of it.")


async def arrivals(traffic: Traffic, within_s: float) -> AsyncGenerator[Exchange | SocketFrame | None, None]:
    """The page's requests and socket messages as they come; None each time that none came for `within_s` seconds."""
    frames = traffic.frames()

    async def frame() -> SocketFrame | None:
        return await anext(frames, None)

    exchanging: asyncio.Task[Exchange] | None = None
    framing: asyncio.Task[SocketFrame | None] | None = None
    try:
        while True:
            exchanging = exchanging or asyncio.create_task(traffic.next())
            framing = framing or asyncio.create_task(frame())
            done, _ = await asyncio.wait({exchanging, framing}, timeout=within_s, return_when="FIRST_COMPLETED")
            if not done:
                yield None
            if framing in done:
                message, framing = framing.result(), None
                if message is None:
                    frames = traffic.frames()  # one socket closed; there may be others
                else:
                    yield message
            if exchanging in done:
                exchange, exchanging = exchanging.result(), None
                yield exchange
    finally:
        waiting = [task for task in (exchanging, framing) if task is not None]
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
