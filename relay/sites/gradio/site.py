"""Any Gradio app, 4.x to 6.x, by its base address. Sections are those of the Gradio fact sheet.

Two ways to its API, both from inside a page of the app:
- `fetch:queue`, the calls the page itself makes; of a ChatInterface only the one of its API endpoint, of any
  other app the chain of events behind its send button. Text comes as diffs: linear in its length.
- `fetch:call`, the named endpoint. Cumulative, so quadratic; for ChatInterfaces only.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from urllib.parse import urlencode, urlsplit

from relay.browser.chromium import Context
from relay.browser.screen import Candidate, Screen
from relay.browser.tab import Response, Tab
from relay.browser.traffic import Exchange, Traffic
from relay.chat.events import Event
from relay.chat.request import Attachment, FileRef, Turn
from relay.errors import BadRequest, LoginNeeded, RelayError, SiteChanged
from relay.sites.base import Capabilities, Login, LoginState, ModelSpec, ScreenRecipe, Site
from relay.sites.gradio.answer import AnswerView, count
from relay.sites.gradio.app import App, base_address
from relay.sites.gradio.calls import Calls
from relay.sites.gradio.stream import QueueReader, refuse

FORM = {"content-type": "application/x-www-form-urlencoded"}
TIDIED = ("chatbot", "markdown")
"""Components that alter text (see `answer`)."""
READY_S = 20.0


class Gradio(Site):
    """A Gradio app; `base_url` of the account says which."""

    id = "gradio"
    name = "Gradio"
    address = "http://127.0.0.1:7860/"
    drivers = ("fetch:queue", "fetch:call", "screen", "dom")
    models = (ModelSpec("", "Gradio app", default=True, images=True, files=True),)
    capabilities = Capabilities(images=True, files=True)
    needs_base_url = True
    evidence = "2026-11"
    # The page draws its last words after its buttons say it is done, on a busy machine by a second.
    screen = ScreenRecipe(
        answer=("**/queue/join", "**/queue/data"),
        reader=QueueReader,
        upload="**/upload",
        settle_ms=1500,
        dedented=True,
    )

    _app: App | None = None

    @property
    def home(self) -> str:
        """The app's address, with a slash at its end; a Space's page becomes the app inside it."""
        return base_address(self.config.base_url or self.address)

    async def open(self, tab: Tab) -> None:
        """Enough of the app's origin to call its API; the page itself is loaded for the screen only."""
        await tab.goto(self.home + "config")

    async def refresh(self, tab: Tab) -> None:
        """Nothing renews a Gradio login by itself; forget what was known."""
        self._app = None
        await self.open(tab)

    # Login

    async def probe(self, tab: Tab) -> Login:
        """`/config` is what tells a live login: 401 without one. Raises SiteUnavailable for a Space asleep."""
        self._app = None
        try:
            app = await self._known(tab)
        except LoginNeeded as error:
            return Login(LoginState.DEAD, detail=error.message)
        return Login(LoginState.LIVE, label=app.username or app.space_id or app.title or "public app")

    async def adopt(self, context: Context, token: str) -> None:
        """Turn `user:password` into the app's cookies. Raises LoginNeeded where the app refuses them."""
        username, colon, password = token.partition(":")
        if not colon:
            raise BadRequest("A Gradio login is written user:password.")
        tab = await context.tab()
        try:
            await self.open(tab)
            form = urlencode({"username": username, "password": password})
            reply = await tab.fetch("POST", self.home + "login", headers=FORM, body=form)
        finally:
            await tab.close()
        if reply.status == 400:
            raise LoginNeeded("The app does not accept this user name and password.")
        refuse(reply)

    # Models

    async def catalogue(self, tab: Tab) -> Sequence[ModelSpec]:
        """The app, and the choices of its model picker where it has one."""
        app = await self._known(tab)
        return app.models(files=app.plan().box.type == "multimodaltextbox")

    async def _known(self, tab: Tab) -> App:
        """The app's config; kept until something about it turns out wrong."""
        if self._app is None:
            reply = await tab.fetch("GET", self.home + "config")
            refuse(reply)
            self._app = App.parse(reply.text)
        return self._app

    # Files

    async def upload(self, tab: Tab, attachment: Attachment) -> FileRef:
        """Give the app a file; `extra` is its FileData. Raises TooLarge."""
        return await Calls(tab, await self._known(tab), self.home).upload(attachment)

    # Chat

    async def chat(self, tab: Tab, turn: Turn, driver: str) -> AsyncGenerator[Event, None]:
        """Run a turn in a session of its own: the prompt carries the whole conversation."""
        app = await self._known(tab)
        by_name = driver == "fetch:call"
        plan = app.endpoint() if by_name else app.plan()
        if plan is None:
            raise SiteChanged("a ChatInterface with a named endpoint", repr(app), refused=True)
        if turn.attachments and plan.box.type != "multimodaltextbox":
            raise BadRequest("This Gradio app takes no files.")
        calls = Calls(tab, app, self.home)
        try:
            files = [await calls.upload(attachment) for attachment in turn.attachments]
            values = app.values(plan, turn.prompt, files, turn.model)
            view = AnswerView(
                tidied=not plan.direct and plan.answer.type in TIDIED,
                greeting=0 if plan.direct else count(values[plan.answer.id]),
                files=calls.address("file="),
            )
            async with aclosing((calls.by_name if by_name else calls.by_queue)(plan, values, view)) as events:
                async for event in events:
                    yield event
        except RelayError:
            self._app = None  # perhaps it is another app by now
            raise
        app.objects = app.objects or (plan.direct and view.objects)

    # Screen

    async def reset(self, tab: Tab) -> None:
        """Load the page; it is ready once its text box is there. Raises LoginNeeded behind a login."""
        await tab.goto(self.home)
        self._app = None
        await self._known(tab)
        if not await self.on_screen(tab).wait("input", timeout_s=READY_S):
            raise await self.on_screen(tab).missing("input")
        tab.fresh = True

    def on_screen(self, tab: Tab) -> Screen:
        """The selectors of the file; a Blocks app's own text box and send button come first."""
        selectors = self.selectors.current()
        roles: dict[str, Sequence[Candidate]] = dict(selectors.roles)
        for role, candidates in (self._app.on_screen() if self._app else {}).items():
            roles[role] = [*candidates, *roles.get(role, ())]
        return Screen(tab, roles, selectors.ways)

    async def answering(self, traffic: Traffic) -> Exchange:
        """The stream, once the app has taken the call that it answers: a page whose call is refused asks for none."""
        while True:
            exchange = await traffic.next()
            if not urlsplit(exchange.url).path.endswith("/queue/join"):
                return exchange
            answer = await exchange.answer()
            if answer.status >= 400:
                refuse(Response(answer.status, answer.headers, answer.url, (await answer.refusal()).encode()))
            if answer.content_type != "application/json":
                raise SiteChanged("an event_id", f"{answer.content_type or 'no content type'}", refused=True)

    async def prepare(self, tab: Tab, turn: Turn) -> None:
        """A fresh page. Raises BadRequest for what only the fetch drivers can do: a choice of model, forms."""
        if turn.model:
            raise BadRequest("The model of a Gradio app can be chosen by the fetch drivers only.", param="model")
        await super().prepare(tab, turn)
        app = await self._known(tab)
        if app.mode != "chat_interface" and app.plan().answer.type != "chatbot":
            raise BadRequest("This Gradio app is a form, not a chat: only the fetch drivers can use it.")
        if len(turn.attachments) > 1 and app.plan().box.props.get("file_count") == "single":
            raise BadRequest("The page of this Gradio app takes one file at a time; the fetch drivers take several.")
