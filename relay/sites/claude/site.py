"""Claude (Anthropic), claude.ai: a cookie, event streams, nothing signed. Sections are those of the fact sheet."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Sequence
from typing import ClassVar
from uuid import uuid4
from weakref import WeakKeyDictionary

from loguru import logger
from pydantic import ValidationError

from relay.browser.answer import Answer
from relay.browser.chromium import Context
from relay.browser.screen import Candidate, MissingRole, Screen
from relay.browser.tab import Tab
from relay.chat.events import Event, Quota, Started
from relay.chat.request import Turn
from relay.errors import (
    AccountBanned,
    BadRequest,
    BrowserFault,
    ChallengeNeeded,
    CutAnswer,
    LoginNeeded,
    SiteChanged,
    SiteUnavailable,
    UnknownModel,
)
from relay.sites.base import Capabilities, Login, LoginState, ModelSpec, ScreenRecipe, Site, SiteConfig
from relay.sites.claude import calls
from relay.sites.claude.errors import site_error
from relay.sites.claude.messages import Organization, model_spec
from relay.sites.claude.requests import JSON, Visit, completion_body, login_state
from relay.sites.claude.stream import ClaudeReader

ERROR_S = 5.0
MAX_ERROR_BYTES = 64 * 1024
DEFAULT = ModelSpec("", "Claude", default=True, thinking=True, search=True, images=True, files=True)
"""The account's own choice: no model is named."""
SEEN = (
    "claude-sonnet-4-5-20250929", "claude-haiku-4-5-20251001", "claude-sonnet-4-6", "claude-opus-4-6",
    "claude-sonnet-5", "claude-sonnet-5-5", "claude-opus-5-5", "claude-fable-5-1",
)  # fmt: skip


class Claude(Site):
    """One account at Claude. `temporary = true` in the account's `[options]` keeps its chats out of the history."""

    id = "claude"
    name = "Claude"
    address = "https://claude.ai/new"
    models: ClassVar[Sequence[ModelSpec]] = (DEFAULT, *map(model_spec, SEEN))
    capabilities = Capabilities(
        native_turns=True, branches=True, delete=True, search=True, sources=True, thinking=True, images=True,
        files=True, agents=r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    )  # fmt: skip
    token_pattern = re.compile(r"sk-ant-sid0[12]-[A-Za-z0-9_-]{16,}")
    state_hosts = ("claude.ai",)
    evidence = "2026-10"
    screen = ScreenRecipe(
        answer="**/completion",
        reader=ClaudeReader,
        fresh="/new",
        conversation="/chat/{id}",
        upload="**/wiggle/upload-file",
        switches=frozenset({"model"}),
    )

    def __init__(self, config: SiteConfig | None = None) -> None:
        super().__init__(config)
        self._temporary = self.config.options.get("temporary") is True
        self._visits: WeakKeyDictionary[Tab, Visit] = WeakKeyDictionary()
        self._names: dict[str, str] = {}
        """What the page calls its models, by their full names."""

    async def adopt(self, context: Context, token: str) -> None:
        """The value of the cookie `sessionKey`."""
        await context.set_state(login_state(token, self.home))

    # login (section 2)

    async def _arrive(self, tab: Tab) -> Organization | None:
        """Learn whose account it is; None for one that may not chat."""
        found = await calls.arrive(tab)
        if found is None:
            return None
        organization, self._visits[tab] = found
        return organization

    async def _visit(self, tab: Tab) -> Visit:
        """What the page's calls carry. Raises LoginNeeded where the account may not chat."""
        if tab not in self._visits and await self._arrive(tab) is None:
            raise LoginNeeded("None of the account's organizations may chat at Claude.", refused=True)
        return self._visits[tab]

    async def probe(self, tab: Tab) -> Login:
        """The organizations, then how far their limits are used up: that is where a closed account is told."""
        try:
            organization = await self._arrive(tab)
            if organization is None:
                return Login(LoginState.GUEST, detail="none of the account's organizations may chat")
            return Login(LoginState.LIVE, organization.label, quotas=await self._quotas(tab))
        except ChallengeNeeded as error:
            return Login(LoginState.CHALLENGED, detail=error.message)
        except AccountBanned as error:
            return Login(LoginState.BANNED, detail=error.message)
        except LoginNeeded as error:
            return Login(LoginState.DEAD, detail=error.message)

    async def _quotas(self, tab: Tab) -> tuple[Quota, ...]:
        try:
            return await calls.quotas(tab, self._visits[tab])
        except (SiteChanged, SiteUnavailable, ValidationError) as error:
            logger.debug("what is used up of Claude's limits is not known: {}", error)
            return ()

    async def refresh(self, tab: Tab) -> None:
        """The cookie is renewed by use, if at all."""
        self._visits.pop(tab, None)
        await super().refresh(tab)

    # models (section 3)

    async def catalogue(self, tab: Tab) -> Sequence[ModelSpec]:
        """The account's own choice and what the page offers; the models once seen where it does not say."""
        try:
            offered = await calls.models(tab, await self._visit(tab))
        except (SiteChanged, SiteUnavailable) as error:
            logger.warning("Claude does not list its models, so those once seen are offered: {}", error)
            return self.models
        self._names = {spec.key: spec.name for spec in offered if spec.name}
        return (DEFAULT, *offered)

    # chat (section 4)

    async def chat(self, tab: Tab, turn: Turn, driver: str) -> AsyncGenerator[Event, None]:
        """One call does everything; only files and projects want the conversation made before."""
        visit = await self._visit(tab)
        if turn.conversation is not None:
            conversation = turn.conversation.id
            parent = turn.conversation.parent or await calls.leaf(tab, visit, conversation)
        else:
            conversation, parent = str(uuid4()), ""
        creates = turn.conversation is None and not (turn.attachments or turn.agent)
        if turn.conversation is None and not creates:
            await calls.create(tab, visit, conversation, turn, temporary=self._temporary)
            yield Started(conversation)
        files = [await calls.upload(tab, visit, conversation, attachment) for attachment in turn.attachments]
        body = completion_body(turn, visit, parent, files, creates=creates, temporary=self._temporary)
        headers = visit.headers | JSON | {"Accept": "text/event-stream"}
        path = f"{visit.chat(conversation)}/completion"
        async with tab.stream("POST", path, headers=headers, body=json.dumps(body), redirect="manual") as answer:
            await self._accept(answer, continues=turn.conversation is not None)
            async for event in ClaudeReader().read(answer):
                yield event

    async def accepted(self, answer: Answer) -> None:
        """A refusal, or Cloudflare in place of the answer (section 9)."""
        await self._accept(answer, continues=False)

    async def _accept(self, answer: Answer, *, continues: bool) -> None:
        if answer.status == 200 and answer.content_type == "text/event-stream":
            return
        try:
            async with asyncio.timeout(ERROR_S):
                body = (await answer.read())[:MAX_ERROR_BYTES].decode("utf-8", "replace")
        except (TimeoutError, CutAnswer, BrowserFault):
            body = ""
        error = site_error(answer.status, answer.headers, body, refused=True, continues=continues)
        if error is not None:
            raise error
        answer.expect("text/event-stream")

    # screen (section 6)

    async def reset(self, tab: Tab) -> None:
        """Load an empty chat. Raises ChallengeNeeded and LoginNeeded for what is shown in its place."""
        await super().reset(tab)
        title, path = await tab.evaluate("function() { return [document.title, location.pathname]; }")
        if title.startswith("Just a moment"):
            raise ChallengeNeeded("Claude's page shows a challenge that only its owner may solve.", refused=True)
        if path.startswith("/login"):
            raise LoginNeeded("Claude's page asks for a login.", refused=True)

    async def prepare(self, tab: Tab, turn: Turn) -> None:
        """Raises also BadRequest where chats must be temporary: how a page is told so is not known."""
        if self._temporary:
            raise BadRequest("Claude's screen driver cannot keep a chat temporary: let the fetch driver answer.")
        await super().prepare(tab, turn)

    async def choose(self, tab: Tab, turn: Turn) -> None:
        """The model, by the name that the picker shows; where none is asked for, the picker stays as it is."""
        if not turn.model:
            return
        if turn.model not in self._names:
            await self.catalogue(tab)
        name, selectors = self._names.get(turn.model, ""), self.selectors.current()
        items = [Candidate(item.css, name) for item in selectors.roles.get("model_item", ()) if name]
        screen = Screen(tab, {**selectors.roles, "model_item": items}, selectors.ways)
        try:
            await screen.click("model")
            await screen.click("model_item")
        except MissingRole as error:
            error.refused = True  # nothing was typed yet
            if error.role == "model":
                raise
            why = f"Claude's page does not offer {name or turn.model}."
            raise UnknownModel(why, param="model", refused=True) from None

    # clean-up (section 8)

    async def delete(self, tab: Tab, conversation: str) -> None:
        """Remove it; one that is gone already is no error."""
        await calls.delete(tab, await self._visit(tab), conversation)
