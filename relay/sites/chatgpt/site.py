"""ChatGPT (OpenAI), chatgpt.com: the page signs what it sends, so chats are typed into it and read off its traffic.

Sections are those of the fact sheet. What needs no signature (probe, models, reading back, deletion, pictures) is
asked from inside the page.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlsplit

from relay.browser.answer import Answer
from relay.browser.chromium import Context
from relay.browser.tab import Response, Tab
from relay.browser.traffic import Exchange, Traffic
from relay.chat.events import Event, Media
from relay.chat.request import Turn
from relay.errors import BadRequest, ChallengeNeeded, ConversationNotFound, LoginNeeded, SiteError
from relay.settings import Clocks
from relay.sites.base import Capabilities, Login, LoginState, ModelSpec, Reader, ScreenRecipe, Site
from relay.sites.chatgpt.calls import call, headers_of, picture
from relay.sites.chatgpt.faults import ASKS_BACK, BANNED, challenged, fault_in, refusal
from relay.sites.chatgpt.handover import Handover
from relay.sites.chatgpt.messages import Done, Session, User, file_read, parsed
from relay.sites.chatgpt.models import KNOWN, Model, Models, specs_of, to_pick
from relay.sites.chatgpt.page import PERSON_S, any_of, challenge_shown, pick_model, pick_tool, sending
from relay.sites.chatgpt.reader import ChatGptReader
from relay.sites.chatgpt.requests import (
    HIDDEN,
    ME,
    MODELS,
    SESSION,
    conversation_path,
    login_state,
)

UPLOADED = re.compile(r"/files/([^/]+/uploaded|process_upload_stream)$")


class ChatGpt(Site):
    """One account at ChatGPT. Of its `options`, `temporary = true` makes every chat a temporary one."""

    id = "chatgpt"
    name = "ChatGPT"
    address = "https://chatgpt.com/"
    drivers = ("screen", "dom")
    models = KNOWN
    capabilities = Capabilities(
        native_turns=True, delete=True, search=True, sources=True, thinking=True, images=True, files=True,
        # A GPT or a project; a name after its id does not end like one of our suffixes.
        agents=r"g-(?:p-)?[0-9A-Za-z]{4,64}(?:-[0-9a-z-]{1,100})?(?<!-search)(?<!-think)(?<!-silent)(?<!-research)",
    )  # fmt: skip
    clocks = Clocks(idle_s=300)  # it thinks in silence
    token_pattern = re.compile(r"eyJ[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*){4}")  # an encrypted JWT: five parts
    state_hosts = ("chatgpt.com", "openai.com")
    evidence = "2026-10"
    screen = ScreenRecipe(
        answer=(
            "**/backend-api/f/conversation", "**/backend-api/conversation", "**/backend-anon/f/conversation",
            "**/backend-anon/conversation", "**/backend-api/sentinel/chat-requirements**",
            "**/backend-api/f/conversation/*", "**/backend-api/conversation/*", "wss://ws.chatgpt.com/**",
        ),
        reader=ChatGptReader,
        fresh="/",
        conversation="/c/{id}",
        upload=("**/backend-api/files", "**/files/*/uploaded", "**/files/process_upload_stream"),
        renews=True,
        retypes=True,
        switches=frozenset({"model", "thinking", "search", "agent"}),
    )  # fmt: skip
    _offered: Sequence[Model] = ()
    _picked = False
    """Whether a model was picked on this account: the page may open with it from then on."""

    @property
    def temporary(self) -> bool:
        """Whether chats are temporary: not in the history, and not to be continued."""
        return self.config.options.get("temporary") is True

    # login (section 2)

    async def adopt(self, context: Context, token: str) -> None:
        """The value of the session cookie. (An access token logs no page in, and only pages may chat.)"""
        await context.set_state(login_state(token, self.home))

    async def open(self, tab: Tab) -> None:
        """Watch from before the page loads: of a socket that it opened unseen nothing could be read."""
        async with tab.traffic("wss://ws.chatgpt.com/**"):
            await super().open(tab)

    async def probe(self, tab: Tab) -> Login:
        """The session has a token, the token is taken, and no challenge stands before the page."""
        session = await tab.fetch("GET", SESSION)
        if (refused := _refused(session)) is not None:
            return refused
        token = parsed(Session, session).access_token
        if not token:
            return Login(LoginState.DEAD, detail="the session has expired")
        me = await tab.fetch("GET", ME, headers=await headers_of(tab, token))
        if (refused := _refused(me)) is not None:
            return refused
        user = parsed(User, me)
        if await challenge_shown(tab, self.on_screen(tab)):
            return Login(LoginState.CHALLENGED, detail=ASKS_BACK)
        return Login(LoginState.LIVE, user.name or user.email or user.id)

    async def refresh(self, tab: Tab) -> None:
        """Asked for the session the site renews it; the page takes it up when it is loaded to type again."""
        await tab.fetch("GET", SESSION)

    # models (section 3)

    async def catalogue(self, tab: Tab) -> Sequence[ModelSpec]:
        """`auto`, and what the site offers the account."""
        offered = self._offered = parsed(Models, await call(tab, "GET", MODELS)).models
        return specs_of(offered)

    # screen (section 6)

    async def reset(self, tab: Tab) -> None:
        """A temporary chat has an address of its own."""
        await tab.goto("/?temporary-chat=true" if self.temporary else "/")
        tab.fresh = True

    def continues(self, driver: str, model: str = "", *, newest: bool = True) -> bool:
        """A temporary chat is gone with its page."""
        return not self.temporary and super().continues(driver, model, newest=newest)

    async def prepare(self, tab: Tab, turn: Turn) -> None:
        """Also bring the page to a GPT or a project."""
        if not turn.agent or turn.conversation is not None:
            try:
                await super().prepare(tab, turn)
            except ConversationNotFound:
                await self._unobstructed(tab)  # who is not logged in is not shown it either
                raise
            return
        self._refuse_unchosen(turn)
        tab.fresh = False
        await tab.goto(f"/g/{quote(turn.agent, safe='')}")
        await self.choose(tab, turn)
        if not urlsplit(str(await tab.evaluate("function() { return location.href; }"))).path.startswith("/g/"):
            raise BadRequest(f"ChatGPT shows no GPT or project {turn.agent!r} to this account.", param="model")

    async def choose(self, tab: Tab, turn: Turn) -> None:
        """See that one can chat here as who is logged in, then set model and search as a person would."""
        await self._unobstructed(tab)
        plain = turn.model in ("", "auto") and not turn.thinking and not self._picked
        if not plain and not turn.agent:
            if not self._offered:
                await self.catalogue(tab)
            model = to_pick(turn, self._offered)
            tab.fresh, self._picked = False, True  # a menu that is left open is for nobody else
            await pick_model(self.on_screen(tab), model.title or model.slug)
        if turn.search:
            tab.fresh = False
            await pick_tool(self.on_screen(tab), "search_entry")

    async def _unobstructed(self, tab: Tab) -> None:
        screen = self.on_screen(tab)
        ahead, tab.fresh = tab.fresh, False
        if not await challenge_shown(tab, screen) and await any_of(screen, "input", "wall", "challenge") == "input":
            # Who is logged in is shown a moment after one can type.
            await any_of(screen, "login", "wall", "challenge", timeout_s=PERSON_S)
        if await challenge_shown(tab, screen):
            raise ChallengeNeeded("ChatGPT's page shows a challenge in place of the chat.", refused=True)
        if await screen.count("wall"):  # it would answer, as to a guest
            raise LoginNeeded("ChatGPT's page shows nobody logged in.", refused=True)
        if not await screen.count("input"):
            raise await screen.missing("input")
        tab.fresh = ahead

    async def answering(self, traffic: Traffic) -> Exchange:
        """The request that sends the prompt, as soon as the page has its tokens for it."""
        return await sending(traffic, self.accepted)

    async def accepted(self, answer: Answer) -> None:
        """A refusal by its code; HTML in the place of events is a changed site."""
        if answer.status >= 400:
            raise refusal(answer.status, answer.headers, await answer.refusal(), sends_prompt=True)
        answer.expect("text/event-stream")

    def reading_on(
        self, tab: Tab, turn: Turn, reader: Reader[Any], traffic: Traffic
    ) -> AsyncGenerator[Event, None] | None:
        """Where the answer goes on once it was handed over or broke off (section 5)."""
        assert isinstance(reader, ChatGptReader)
        known = turn.conversation
        if known is None and not reader.answer.conversation:
            return None  # nobody knows where to ask
        return Handover(tab, reader, known.id if known else "", known.parent if known else "").events(traffic)

    # files and pictures (sections 7 and 10)

    async def uploaded(self, uploads: Traffic) -> None:
        """The page asks where to put a file, puts it there, and says so, until the site has read it."""
        while True:
            exchange = await uploads.next()
            answer = await exchange.answer()
            if answer.status >= 400:
                await self.accepted(answer)
            if found := UPLOADED.search(urlsplit(exchange.url).path):
                body = await answer.read()
                if found[1] == "process_upload_stream" or file_read(body):
                    return

    async def located(self, tab: Tab, media: Media) -> Media:
        """A picture is asked for, then fetched from where the site says."""
        return replace(media, url=await picture(tab, media.url) or media.url)

    # clean-up (section 8)

    async def delete(self, tab: Tab, conversation: str) -> None:
        """Hide it, as the site's own Delete does; one that is gone already is no error."""
        reply = await call(tab, "PATCH", conversation_path(conversation), dict(HIDDEN))
        if reply.status != 404 and not parsed(Done, reply).success:
            raise SiteError("ChatGPT did not delete the conversation.")


def _refused(response: Response) -> Login | None:
    """What a refused call says of the login (section 2)."""
    if challenged(response.status, response.headers, response.text):
        return Login(LoginState.CHALLENGED, detail=ASKS_BACK)
    if response.status in (401, 403) and fault_in(response.text).code == BANNED:
        return Login(LoginState.BANNED, detail="the site has closed the account")
    if response.status in (401, 403):
        return Login(LoginState.DEAD, detail=f"the session is refused (HTTP {response.status})")
    return None
