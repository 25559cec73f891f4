"""DeepSeek, chat.deepseek.com: a token in localStorage, proof of work, an event stream of patches.

Sections are those of the fact sheet.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing

from loguru import logger

from relay.browser.answer import Answer
from relay.browser.chromium import Context
from relay.browser.tab import Tab
from relay.browser.traffic import Exchange, Traffic
from relay.chat.events import Event, Finished, Started
from relay.chat.request import Attachment, FileRef, Turn
from relay.errors import ChallengeNeeded, ConversationNotFound, LoginNeeded, RelayError, SiteError
from relay.sites.base import Capabilities, Login, LoginState, ScreenRecipe, Site, SiteConfig
from relay.sites.deepseek.calls import COMPLETION, CONTINUE, UPLOAD, Visit, both
from relay.sites.deepseek.messages import StillWriting, envelope, refuse_page
from relay.sites.deepseek.page import switch, typable
from relay.sites.deepseek.proof import Proof
from relay.sites.deepseek.requests import JSON, MODEL_TYPES, MODELS, completion_body, continue_body, login_state, mode
from relay.sites.deepseek.stock import Stock
from relay.sites.deepseek.stream import DeepSeekReader
from relay.sites.drivers import finish
from relay.wire.json_text import dump_json

STREAM = JSON | {"Accept": "text/event-stream"}
MAX_CONTINUATIONS = 20
WRITING_PAUSES_S = (0.2, 0.5, 1.0, 2.0)
STOP_S = 3.0
LOGIN = "/sign_in"


class DeepSeek(Site):
    """One account at DeepSeek."""

    id = "deepseek"
    name = "DeepSeek"
    address = "https://chat.deepseek.com/"
    drivers = ("fetch", "screen", "dom")
    models = MODELS
    # The page's box takes 2,621,440 characters, but a whole conversation is full after about a million.
    capabilities = Capabilities(
        native_turns=True, branches=True, delete=True, search=True, sources=True, thinking=True, images=True,
        files=True, max_prompt_chars=1_000_000,
    )  # fmt: skip
    token_pattern = re.compile(r"[A-Za-z0-9+/]{56,72}={0,2}")
    state_hosts = ("deepseek.com",)
    concurrency = 2  # the site has a word for a second answer while one is written; how many it allows is not known
    evidence = "2026-08"
    screen = ScreenRecipe(
        answer="**/api/v0/chat/c*",
        reader=DeepSeekReader,
        fresh="/",
        conversation="/a/chat/s/{id}",
        upload="**" + UPLOAD,
        switches=frozenset({"model", "thinking", "search"}),
    )

    def __init__(self, config: SiteConfig | None = None) -> None:
        super().__init__(config)
        self._stock = Stock()
        self._seeing: deque[str] = deque(maxlen=1000)
        """Conversations about images, newest last: what is asked there later goes to the mode that sees, too."""

    # login (section 2)

    async def adopt(self, context: Context, token: str) -> None:
        """The `value` of `userToken` in the page's localStorage."""
        await context.set_state(login_state(token, self.home))

    async def probe(self, tab: Tab) -> Login:
        """users/current. There is no guest chat."""
        try:
            user = await (await Visit.of(tab)).user()
        except LoginNeeded as error:
            return Login(LoginState.DEAD, detail=error.message)
        except ChallengeNeeded as error:
            return Login(LoginState.CHALLENGED, detail=error.message)
        return Login(LoginState.LIVE, user.email or "signed in")

    async def refresh(self, tab: Tab) -> None:
        """Nothing renews a token; if another page has a new one by now, it stands in the storage that they share."""

    # chat (section 4)

    async def chat(self, tab: Tab, turn: Turn, driver: str) -> AsyncGenerator[Event, None]:
        """Files, session and proof side by side, then the completion.

        What was prepared ahead may be stale, which the site tells by a code that nobody noted: a prompt that it refuses
        so is sent once more, with nothing out of stock.
        """
        model_type, thinking = mode(turn)
        if turn.conversation is not None and turn.conversation.id in self._seeing:
            model_type = "vision"
        visit = await Visit.of(tab)
        files, (session, proof, stocked) = await both(visit.uploads(turn, thinking), self._stock.begin(visit, turn))
        pauses = iter(WRITING_PAUSES_S)
        while True:
            body = dump_json(completion_body(turn, session, files, model_type, thinking=thinking)).encode()
            async with tab.stream(
                "POST", COMPLETION, headers=visit.headers | STREAM | proof.headers, body=body
            ) as answer:
                try:
                    await self.accepted(answer)
                except StillWriting:
                    # The last answer has its end mark, but the site is still putting it away.
                    if (pause_s := next(pauses, None)) is None:
                        raise
                    await asyncio.sleep(pause_s)
                    proof = await visit.proof(COMPLETION)
                except SiteError as error:
                    if not stocked:
                        raise await self._lost(visit, turn, error) from None
                    logger.debug("sending once more, with nothing out of stock: {}", error)
                    session, proof, stocked = await self._stock.begin(visit, turn, fresh=True)
                else:
                    if model_type == "vision":
                        self._seeing.append(session)
                    async with aclosing(self._read(visit, answer, session, proof)) as events:
                        async for event in events:
                            yield event
                    return

    async def _lost(self, visit: Visit, turn: Turn, error: SiteError) -> RelayError:
        """What a refusal means that says nothing.

        Perhaps the conversation is gone; or it is not one that sees, or wants its image again (section 3): the whole
        history in a new one has that.
        """
        if turn.conversation is None:
            return error
        if mode(turn)[0] != "vision" and not await visit.forgot(turn.conversation.id):
            return error
        return ConversationNotFound(f"DeepSeek does not go on with the conversation. {error.message}", refused=True)

    async def _read(self, visit: Visit, answer: Answer, session: str, proof: Proof) -> AsyncGenerator[Event, None]:
        """An answer, with its continuations where the site left it incomplete. Who leaves early stops it."""
        reader = DeepSeekReader(session)
        restocking = asyncio.create_task(self._stock.fill(visit))
        try:
            yield Started(session)
            async for event in reader.read_part(answer):
                yield event
            for _ in range(MAX_CONTINUATIONS):
                if not reader.incomplete:
                    return
                body = dump_json(continue_body(session, reader.message)).encode()
                headers = visit.headers | STREAM | proof.headers
                async with visit.tab.stream("POST", CONTINUE, headers=headers, body=body) as more:
                    try:
                        await self.accepted(more)
                    except RelayError as error:
                        logger.debug("the answer is not continued: {}", error)
                        break
                    async for event in reader.read_part(more):
                        yield event
            yield Finished("length")
        except (GeneratorExit, asyncio.CancelledError):
            if reader.message and not reader.over:
                await finish(visit.stop(session, reader.message), STOP_S, "DeepSeek was not told to stop")
            raise
        finally:
            restocking.cancel()
            await asyncio.gather(restocking, return_exceptions=True)

    async def accepted(self, answer: Answer) -> None:
        """JSON in the place of a stream is a refusal, a page a challenge (section 9)."""
        if answer.content_type != "text/event-stream" or answer.status != 200:
            await self._json(answer)
            answer.expect("text/event-stream")

    async def _json(self, answer: Answer) -> None:
        """Raise what an answer of JSON says against what was sent."""
        refuse_page(answer.status, answer.headers)
        await answer.raise_for_status()
        answer.expect("application/json")
        if (error := envelope(await answer.read()).error(refused=True)) is not None:
            raise error

    async def upload(self, tab: Tab, attachment: Attachment) -> FileRef:
        """Proof of work, upload, then wait until the site has read the file (section 7)."""
        return await (await Visit.of(tab)).upload(attachment)

    # screen (section 6)

    def continues(self, driver: str, model: str = "", *, newest: bool = True) -> bool:
        """The page chooses a mode for new chats only."""
        asked = "default" if driver.startswith("fetch") else MODEL_TYPES.get(model, "default")
        return asked == "default" and super().continues(driver, model, newest=newest)

    async def answering(self, traffic: Traffic) -> Exchange:
        """The completion; a refusal of the proof that the page fetches before it ends the chat as well."""
        while COMPLETION not in (exchange := await traffic.next()).url:
            await self._json(await exchange.answer())
        return exchange

    async def uploaded(self, uploads: Traffic) -> None:
        """A file that the site refuses has an answer with HTTP 200: without this the prompt would go without it."""
        await self._json(await (await uploads.next()).answer())

    async def choose(self, tab: Tab, turn: Turn) -> None:
        """The mode, which only an empty chat offers, and the two switches. Raises LoginNeeded, MissingRole."""
        model_type, thinking = mode(turn)
        if model_type != "default" and turn.conversation is not None:
            raise ConversationNotFound("DeepSeek's page cannot change the mode of a conversation.", refused=True)
        screen = self.on_screen(tab)
        if not await typable(tab, screen):
            if tab.fresh:  # a page that was loaded ahead may have aged
                await self.reset(tab)
            if not (tab.fresh and await typable(tab, screen)):
                raise await screen.missing("input")
        if turn.conversation is None and (model_type != "default" or await screen.count("mode_default")):
            await switch(screen, f"mode_{model_type}", on=True)
        await switch(screen, "thinking", on=thinking)
        await switch(screen, "search", on=turn.search)

    # clean-up (section 8)

    async def delete(self, tab: Tab, conversation: str) -> None:
        """chat_session/delete."""
        await (await Visit.of(tab)).delete(conversation)
